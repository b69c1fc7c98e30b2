"""Each estimator in FRONTENDS has examples, and each example answers as its model does."""

from __future__ import annotations

import pytest

from pgscore.compiler.frontends import FRONTENDS

from ...support.models import EXAMPLES, all_examples
from .parity import assert_parity


def test_every_frontend_has_an_example() -> None:
    assert set(EXAMPLES) == set(FRONTENDS)


@pytest.mark.parametrize("name", all_examples())
def test_example_answers_as_its_model(name: str) -> None:
    example = all_examples()[name]()
    assert_parity(example.estimator, example.frame, exact=example.exact, atol=1e-15)
