"""Rows for boosted trees: gaps, whole numbers, values that float32 does not tell apart, heavy tails, and hard ones."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pgscore.compiler import ir

HARD = (
    *(np.nan, np.inf, -np.inf, 0.0, -0.0, 1e300, -1e300, 1e39, -1e39, 3.5e38, -3.5e38, 5e-324, 1e-300),
    *(1e-35, -1e-35, float(np.float32(1e-35)), -float(np.float32(1e-35)), 1.1e-35, -1.1e-35, 1e-36),
    *(ir.FLOAT32_LIMIT, -ir.FLOAT32_LIMIT),
)
N = 300


def _numbers() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    found = pd.DataFrame(
        {
            "a": rng.normal(size=N),
            "b": rng.integers(-2, 5, N).astype(float),
            "c": rng.standard_cauchy(N),
            "d": 1 + rng.integers(0, 40, N) * 3e-8,
        }
    )
    found[rng.random(found.shape) < 0.1] = np.nan
    return found


X = _numbers()
COMPLETE = X.fillna(0.0)
Y = X.fillna(0).rank(pct=True).sum(axis=1).to_numpy() + np.random.default_rng(1).normal(size=N) * 0.3
POSITIVE = np.exp(Y)
LEVEL = np.digitize(Y, [1.6, 2.2])
TIER = np.array(["lo", "mid dle", "hi"])[LEVEL]
FLAG = Y > 1.9
GROUPS = np.repeat(range(3), N // 3)


def hard_rows(frame: pd.DataFrame = X) -> pd.DataFrame:
    """Rows of the frame, then one of them with each hard value in each column, and next to numbers of the column."""
    blocks = [frame.head(60)]
    for name in frame:
        near = np.unique(frame[name].dropna())[::17]
        single = near.astype(np.float32)
        around = [np.nextafter(single, np.float32(side)).astype(float) for side in (-np.inf, np.inf)]
        values = np.concatenate([HARD, near, np.nextafter(near, np.inf), single.astype(float), *around])
        block = pd.concat([frame.iloc[[3]]] * len(values), ignore_index=True)
        block[name] = values
        blocks.append(block)
    return pd.concat(blocks, ignore_index=True)


def mixed(seed: int = 0) -> pd.DataFrame:
    """A number, and categories of text and whole numbers, with gaps."""
    rng = np.random.default_rng(seed)
    text = pd.Series(rng.choice(["it's", "b", "c\\", "d", "e"], N), dtype=object).where(rng.random(N) > 0.1)
    whole = pd.Series(rng.choice([10.0, 20.0, 35.0, 7.0], N)).where(rng.random(N) > 0.1)
    return pd.DataFrame(
        {
            "a": rng.normal(size=N),
            "text": pd.Categorical(text, categories=["d", "it's", "b", "never", "c\\", "e"]),
            "whole": pd.Categorical(whole, categories=np.array([20, 7, 35, 10])),
            "z": rng.normal(size=N),
        }
    )


def of_mixed(frame: pd.DataFrame) -> np.ndarray:
    """A number that depends on the categories, also on whether they are there."""
    effects = frame["text"].cat.codes % 3 + (frame["whole"].cat.codes % 2) * 1.5
    return (effects + frame["a"] + np.random.default_rng(2).normal(size=N) * 0.1).to_numpy()
