"""UBJSON documents, read and refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import xgboost

from pgscore.compiler import ubjson

X = np.arange(40.0).reshape(20, 2)


def model() -> bytes:
    trained = xgboost.XGBClassifier(n_estimators=2, max_depth=2).fit(X, np.arange(20) % 3)
    return bytes(trained.get_booster().save_raw("ubj"))


def plain(value: Any) -> Any:
    """With floats as XGBoost keeps them."""
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, np.ndarray)):
        return [plain(inner) for inner in value]
    return float(np.float32(value)) if isinstance(value, (float, int, np.number)) else value


def test_it_reads_what_the_json_says() -> None:
    booster = xgboost.Booster(model_file=bytearray(model()))
    assert plain(ubjson.read(model())) == plain(json.loads(bytes(booster.save_raw("json"))))


def test_a_model_is_whole_and_no_part_of_it_is() -> None:
    content = model()
    ubjson.read(content)
    for end in range(len(content)):
        with pytest.raises(ValueError, match=r"cut off|no whole number|no UBJSON|how many"):
            ubjson.read(content[:end])
    with pytest.raises(ValueError, match="behind it"):
        ubjson.read(content + b"{}")


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"[]", []),
        (b"{}", {}),
        (b"[#i\x02i\x01I\xff\xfe", [1, -2]),
        (b"[$d#i\x02" + bytes(8), [0.0, 0.0]),
        (b"[[][CaU\xff]]", [[], ["a", 255]]),
        (b"[$[#i\x02]]", [[], []]),
        (b"{i\x01a[TFNZ]i\x01bSi\x02xy}", {"a": [True, False, None, None], "b": "xy"}),
        (b"[$S#i\x02i\x01ai\x01b", ["a", "b"]),
        (b"{$i#i\x01i\x01a\x07", {"a": 7}),
    ],
)
def test_whole(content: bytes, value: Any) -> None:
    assert plain(ubjson.read(content)) == value


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x",
        b"[",
        b"{i\x01a",
        b"[$d#l\x7f\xff\xff\xff",
        b"[$di\x01",
        b"Si\xffa",
        b"[#S",
        b"[" * 100_000,
        b"[$Z#l\x7f\xff\xff\xff",
        b"{i\x01ai\x01i\x01ai\x02}",
    ],
)
def test_not_whole(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        ubjson.read(content)
