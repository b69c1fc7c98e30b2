"""What a fresh install makes, and who may do what with it, line by line: `make golden` writes the files anew.

A difference here is a change of the contract with DBAs: look at it, then write it down.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ..support.objects import objects, privileges
from ..support.tiny import opened

GOLDEN = Path(__file__).parent / "golden"


def compare(name: str, lines: list[str]) -> None:
    path, found = GOLDEN / f"{name}.txt", "\n".join(lines) + "\n"
    if os.environ.get("PGSCORE_WRITE_GOLDEN") == "1":
        path.write_text(found)
    assert found.splitlines() == path.read_text().splitlines()


@pytest.mark.parametrize("name", ["15", "18", "15-plpython"])
def test_a_fresh_install_is_as_written(name: str, request: pytest.FixtureRequest) -> None:
    fixture = {"15": "installed15", "18": "installed18", "15-plpython": "with_plpython"}[name]
    with opened(request.getfixturevalue(fixture)) as connection:
        rights = privileges(connection)
        compare(f"objects-{name}", objects(connection))
        compare(f"privileges-{name}", rights)
    assert not [line for line in rights if line.startswith("PUBLIC")]
    assert not [line for line in rights if "*" in line]
