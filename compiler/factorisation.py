"""Matrix factorisations as models: factors of users and items, whose dot product scores an item for a user.

    model = TruncatedSVD(20).fit(ratings)
    taste = Factorisation.of(model, model.transform(ratings), users, items, rating="rating")
    taste.save(Path("taste.npz"))

The factors are the model: tables in the database, of which a score reads two rows, and not an expression of its inputs.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pgscore.errors import ModelFileError, SignatureError, UnsupportedError

from .artifact import Artifact, Function, Parameter, SqlType, Strategy, Template
from .ir import Column, Dtype, ModelKind
from .values import FloatArray, evenly, frozen

if TYPE_CHECKING:
    from .load import LoadedModel

LINEAR = ("TruncatedSVD",)
"""Estimators whose `transform` is the product of the ratings and `components_.T`."""

MAX_FACTORS = 900
"""So many doubles and a key fit into a row of a table."""

NOTHING, HUGE = 1e-150, 1e100
"""PostgreSQL raises where a product under- or overflows: none of two factors, nor of a rating and those, can."""

PROBES = 50

_ARRAYS = ("users", "items", "user_factors", "item_factors", "words")
_KEYS = (SqlType.INTEGER, SqlType.BIGINT, SqlType.TEXT)


@dataclass(frozen=True, eq=False)
class Factorisation:
    """Factors of users and items, in the order of their keys: (len(users), k) and (len(items), k).

    Keys are distinct integers or texts. `user` and `item` name the columns of a table of ratings that hold them. With
    `rating`, the column of the ratings themselves, a user's factors are not those stored here where unseen items are
    ranked, but what `transform` makes of the ratings by then: their product with the factors of the items.
    Raises ModelFileError for arrays that do not fit, or hold NaN, infinities or numbers beyond 1e100.
    """

    estimator: str
    users: npt.NDArray[Any]
    items: npt.NDArray[Any]
    user_factors: FloatArray
    item_factors: FloatArray
    user: str = "user_id"
    item: str = "item_id"
    rating: str | None = None

    def __post_init__(self) -> None:
        for side in ("user", "item"):
            keys, factors = np.asarray(getattr(self, f"{side}s")), np.asarray(getattr(self, f"{side}_factors"))
            if keys.ndim != 1 or factors.ndim != 2 or len(keys) != len(factors) or not len(keys):
                raise ModelFileError(f"the keys of the {side}s and their factors are not of one length, or none")
            if keys.dtype.kind not in "iuU" or len(np.unique(keys)) != len(keys):
                raise ModelFileError(f"the keys of the {side}s are not distinct integers or texts")
            if keys.dtype.kind == "U" and any("\0" in key for key in keys.tolist()):
                raise ModelFileError(f"a key of the {side}s holds NUL, which PostgreSQL's text cannot")
            if factors.dtype.kind != "f" or not np.all(np.abs(factors) <= HUGE):
                raise ModelFileError(f"the factors of the {side}s are not all numbers from -{HUGE:g} to {HUGE:g}")
            factors = np.where(np.abs(factors) < NOTHING, 0.0, factors.astype(np.float64))
            object.__setattr__(self, f"{side}s", frozen(keys, keys.dtype))
            object.__setattr__(self, f"{side}_factors", frozen(factors))
        if not 1 <= self.width == self.item_factors.shape[1] <= MAX_FACTORS:
            raise ModelFileError(f"users and items do not have the same number of factors, from 1 to {MAX_FACTORS}")

    @classmethod
    def of(  # noqa: PLR0913 (what a factorisation is made of)
        cls,
        model: Any,
        user_factors: npt.ArrayLike,
        users: npt.ArrayLike,
        items: npt.ArrayLike,
        *,
        user: str = "user_id",
        item: str = "item_id",
        rating: str | None = None,
    ) -> Factorisation:
        """Of a fitted TruncatedSVD or NMF: `user_factors` is what `fit_transform` gave, `components_.T` has the items.

        `users` and `items` are the keys of the rows and columns of the matrix that it was fitted on. Raises
        UnsupportedError for `rating` with a model whose `transform` is not linear.
        """
        name = type(model).__name__
        if rating is not None and name not in LINEAR:
            raise UnsupportedError(
                "model",
                f"the transform of {name} is no product with its components_",
                "leave out rating: new ratings then count when the model is trained again",
            )
        factors = np.asarray(model.components_).T
        return cls(name, np.asarray(users), np.asarray(items), np.asarray(user_factors), factors, user, item, rating)

    @property
    def width(self) -> int:
        """The number of factors."""
        return int(self.user_factors.shape[1])

    @property
    def columns(self) -> tuple[Column, ...]:
        """What it reads of a table of ratings: user, item, and perhaps the rating."""
        found = [(self.user, _dtype(self.users)), (self.item, _dtype(self.items))]
        found += [] if self.rating is None else [(self.rating, Dtype.NUMBER)]
        return tuple(Column(*column) for column in found)

    @property
    def sha256(self) -> str:
        """The hash of the factors, as pgscore.factors_sha256 finds it in the database."""
        sides = (_digest(self.users, self.user_factors), _digest(self.items, self.item_factors))
        return hashlib.sha256(b"".join(sides)).hexdigest()

    def artifact(self, parameters: Sequence[Parameter], model: LoadedModel) -> Artifact:
        """The artifact for the types that user and item have in a table. Raises SignatureError for others than keys."""
        for parameter in parameters[:2]:
            if parameter.type not in _KEYS:
                raise SignatureError(
                    f"column {parameter.name!r} is {parameter.type.value}; the keys of users and items are integers or"
                    " texts"
                )
        function = Function("", "user_factors @ components_", SqlType.DOUBLE.value, "plpgsql", Template(""), ())
        probes = {self.user: self.users, self.item: self.items}
        return Artifact(
            ModelKind.RECOMMENDER,
            self.estimator,
            tuple(parameters[:2]),
            (function,),
            Strategy.PLPGSQL,
            f"{self.width} factors of {len(self.users):,} users and {len(self.items):,} items in tables",
            model.sha256,
            libraries=model.libraries,
            probes={name: tuple(evenly(np.sort(keys).tolist(), PROBES)) for name, keys in probes.items()},
            factors=self,
        )

    def answers(self, columns: Mapping[str, Sequence[object]]) -> dict[str, list[float | None]]:
        """The score of each pair of user and item, its products added up in order; None where one is unknown."""
        users = {key: row for row, key in enumerate(self.users.tolist())}
        items = {key: row for row, key in enumerate(self.items.tolist())}
        pairs = [
            (users[user], items[item]) if user in users and item in items else None
            for user, item in zip(columns[self.user], columns[self.item], strict=True)
        ]
        known = np.array([pair for pair in pairs if pair is not None], dtype=int).reshape(-1, 2)
        scores = self.user_factors[known[:, 0], 0] * self.item_factors[known[:, 1], 0]
        for factor in range(1, self.width):
            scores = scores + self.user_factors[known[:, 0], factor] * self.item_factors[known[:, 1], factor]
        found = iter(scores.tolist())
        return {"": [None if pair is None else next(found) for pair in pairs]}

    def save(self, path: Path) -> None:
        """Writes a file that `load_model` reads: numpy's .npz, which runs no code."""
        words = np.array([self.estimator, self.user, self.item, self.rating or ""])
        with path.open("wb") as file:
            np.savez(file, **{**{name: getattr(self, name) for name in _ARRAYS[:-1]}, "words": words})


def is_factorisation(names: Sequence[str]) -> bool:
    """Whether an archive of these members is one of `save`'s."""
    return set(names) == {f"{name}.npy" for name in _ARRAYS}


def read_factorisation(content: bytes) -> Factorisation:
    """What `save` wrote. Raises ModelFileError, and what numpy raises for damage."""
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        users, items, user_factors, item_factors, words = (archive[name] for name in _ARRAYS)
    estimator, user, item, rating = words.astype(str).tolist()
    return Factorisation(estimator, users, items, user_factors, item_factors, user, item, rating or None)


def _dtype(keys: npt.NDArray[Any]) -> Dtype:
    return Dtype.TEXT if keys.dtype.kind == "U" else Dtype.NUMBER


def _digest(keys: npt.NDArray[Any], factors: FloatArray) -> bytes:
    """SHA-256 over that of each row, in the order of the keys' bytes: the key's text and array_send of its factors."""
    width = factors.shape[1]
    # One dimension, no NULLs, elements of type 701 (float8), counted from 1; each with its length before it.
    head = np.array([1, 0, 701, width, 1], dtype=">i4").tobytes()
    rows = np.empty((len(factors), width), dtype=[("length", ">i4"), ("value", ">f8")])
    rows["length"], rows["value"] = 8, factors
    texts = sorted((str(key).encode(), row) for row, key in enumerate(keys.tolist()))
    whole = hashlib.sha256()
    for text, row in texts:
        whole.update(hashlib.sha256(text + head + rows[row].tobytes()).digest())
    return whole.digest()
