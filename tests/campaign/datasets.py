"""The data sets of the campaign: small tables, each with the one trait that tends to break a compiled model.

Each trait also has its own number and type of classes, so that every classifier meets 2, 3 and 10 classes and labels of
text, whole numbers and booleans.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

N_ROWS = 80
LABELS: dict[str, Callable[[npt.NDArray[np.int64]], npt.NDArray[Any]]] = {
    "text": lambda codes: np.array(["no", "it's", "ÿes", *"abcdefg"][: codes.max() + 1], dtype=object)[codes],
    "int": lambda codes: codes * 7 - 5,
    "bool": lambda codes: codes > 0,
}


@dataclass(frozen=True)
class Dataset:
    """Columns of doubles, whole numbers, booleans and text. With `arrays` models do not learn the columns' names.

    `classes` and `labels` (a key of LABELS) say what classifiers learn here; `two_labels` those of two classes. `turn`
    says which of its options an estimator gets.
    """

    name: str
    frame: pd.DataFrame
    classes: int
    labels: str
    two_labels: str = "text"
    arrays: bool = True
    turn: int = 0

    @property
    def x(self) -> Any:
        """What models are trained on."""
        return self.frame.to_numpy() if self.arrays else self.frame

    def of_labels(self) -> Dataset:
        """Its classes as the only column: what encoders of labels take."""
        return replace(self, frame=pd.DataFrame({"label": self.target("classes")}))

    def columns(self, kinds: str) -> list[int]:
        """The columns whose dtype is of one of these kinds: "f" doubles, "i" whole numbers, "b" booleans, "O" text."""
        return [position for position, dtype in enumerate(self.frame.dtypes) if dtype.kind in kinds]

    @property
    def has_gaps(self) -> bool:
        return bool(self.frame.isna().to_numpy().any())

    def level(self) -> npt.NDArray[np.float64]:
        """A number that depends on every column, with noise; its ranks make the classes."""
        rng = np.random.default_rng(5)
        level = rng.normal(size=len(self.frame))
        for weight, name in enumerate(self.frame.columns[:7], 1):
            column = self.frame[name]
            codes = pd.Series(pd.factorize(column)[0]) if column.dtype.kind == "O" else column
            level += weight * codes.rank(pct=True).fillna(0.3).to_numpy()
        return level

    def target(self, kind: str) -> npt.NDArray[Any]:  # noqa: PLR0911 (one for each kind)
        """What models learn: "number", "count" (never negative), "numbers", "classes", "codes", "two", "sets"."""
        level = self.level()
        rank = np.argsort(np.argsort(level))
        # Classes are of unlike size: between equal ones a linear model's mean row lies on the very boundary.
        halves = (rank > 0.55 * len(rank)).astype(np.int64)
        codes = halves if self.classes == 2 else ((rank / len(rank)) ** 0.85 * self.classes).astype(np.int64)
        match kind:
            case "number":
                return level * 12.5 - 3
            case "count":
                return np.floor(level - level.min()) + 1.0
            case "numbers":
                return np.column_stack([level * 12.5 - 3, np.sin(level), level**2])
            case "classes":
                return LABELS[self.labels](codes)
            case "codes":
                return codes
            case "two":
                return LABELS[self.two_labels](halves)
            case "sets":
                return np.column_stack([halves, rank * 3 // len(rank)])
        raise ValueError(kind)


def _numeric(rng: np.random.Generator) -> pd.DataFrame:
    values = np.column_stack([rng.normal(50, 20, N_ROWS), rng.random((N_ROWS, 2)), rng.normal(0, 1e-3, N_ROWS)])
    return pd.DataFrame(values, columns=list("abcd"))


def _mixed(rng: np.random.Generator) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "tenure": rng.integers(0, 72, N_ROWS),
            "Charge %": rng.normal(65, 30, N_ROWS).round(2),
            "senior": rng.random(N_ROWS) < 0.3,
            "contract": rng.choice(["monthly", "one year", "it's", ""], N_ROWS, p=[0.5, 0.3, 0.1, 0.1]),
            'the "city"': rng.choice(["Paris", "Łódź", "back\\slash", "\N{PILE OF POO}", None], N_ROWS),
        }
    )
    return frame.astype({"contract": object, 'the "city"': object})


def _missing(rng: np.random.Generator) -> pd.DataFrame:
    frame = _numeric(rng)
    gaps = rng.random(frame.shape) < 0.15
    gaps[:, 1] = False
    return frame.mask(gaps)


def _constant(rng: np.random.Generator) -> pd.DataFrame:
    return pd.DataFrame({"x": rng.normal(size=N_ROWS), "zero": 0.0, "y": rng.random(N_ROWS), "same": 0.1})


def _single(rng: np.random.Generator) -> pd.DataFrame:
    return pd.DataFrame({"only": rng.normal(3, 2, N_ROWS)})


def _wide(rng: np.random.Generator) -> pd.DataFrame:
    return pd.DataFrame(rng.normal(size=(N_ROWS, 200)), columns=[f"c{i}" for i in range(200)])


def _integers(rng: np.random.Generator) -> pd.DataFrame:
    large = rng.integers(-(2**40), 2**40, N_ROWS)
    columns = [rng.integers(0, 3, N_ROWS), rng.integers(-50, 50, N_ROWS), rng.poisson(4, N_ROWS), large]
    return pd.DataFrame(np.column_stack(columns), columns=list("ijkl"))


def _tails(rng: np.random.Generator) -> pd.DataFrame:
    heavy = rng.standard_cauchy(N_ROWS)
    values = np.column_stack([heavy, np.exp(rng.normal(0, 4, N_ROWS)), rng.standard_t(2, N_ROWS) * 1e6, heavy * 1e-9])
    return pd.DataFrame(values, columns=["cauchy", "lognormal", "large", "small"])


def _made() -> dict[str, Dataset]:
    rng = np.random.default_rng(11)
    return {
        dataset.name: replace(dataset, turn=turn)
        for turn, dataset in enumerate(
            (
                Dataset("numeric", _numeric(rng), 2, "bool", "bool"),
                Dataset("mixed", _mixed(rng), 3, "text", "int", arrays=False),
                Dataset("missing", _missing(rng), 2, "int", "bool", arrays=False),
                Dataset("constant", _constant(rng), 10, "int", "text"),
                Dataset("single", _single(rng), 3, "int", "int"),
                Dataset("wide", _wide(rng), 2, "text", "text"),
                Dataset("integers", _integers(rng), 3, "text", "bool"),
                Dataset("tails", _tails(rng), 10, "text", "text", arrays=False),
            )
        )
    }


DATASETS = _made()
