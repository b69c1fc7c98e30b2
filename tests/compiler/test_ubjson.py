"""What the check of a UBJSON document takes and refuses."""

from __future__ import annotations

import numpy as np
import pytest
import xgboost

from pgscore.compiler import ubjson

X = np.arange(40.0).reshape(20, 2)


def model() -> bytes:
    trained = xgboost.XGBClassifier(n_estimators=2, max_depth=2).fit(X, np.arange(20) % 3)
    return bytes(trained.get_booster().save_raw("ubj"))


def test_a_model_is_whole_and_no_part_of_it_is() -> None:
    content = model()
    ubjson.check(content)
    for end in range(len(content)):
        with pytest.raises(ValueError, match=r"cut off|no whole number|no UBJSON|how many"):
            ubjson.check(content[:end])
    with pytest.raises(ValueError, match="behind it"):
        ubjson.check(content + b"{}")


@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b"{}",
        b"[#i\x02i\x01i\x02",
        b"[$d#i\x02" + bytes(8),
        b"[[][]]",
        b"[$[#i\x02]]",
        b"{i\x01a[TFNZ]i\x01bSi\x02xy}",
        b"[$S#i\x02i\x01ai\x01b",
        b"{$i#i\x01i\x01a\x07",
    ],
)
def test_whole(content: bytes) -> None:
    ubjson.check(content)


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
    ],
)
def test_not_whole(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        ubjson.check(content)
