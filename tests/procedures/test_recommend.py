"""pgscore.recommend: odd names and types, ties, what changes a ranking, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest

from pgscore.procedures.connection import connect

from ..support.databases import copied, template
from ..support.refreshing import fetch, run
from ..support.servers import Server

CALL = """CALL pgscore.recommend('"a user"', 'items', 'seen', 'public."my recs"', 2, ARRAY['the "user', 'item'])"""
BEST = 'SELECT "the ""user", item, rank, score FROM "my recs" ORDER BY 1, 3'


@pytest.fixture
def connection(server: Server) -> Iterator[Any]:
    with copied(server, template(server)) as dsn:
        connection = connect(dsn)
        run(
            connection,
            """
            CREATE TABLE "a user" ("the ""user" text, factors float8[]);
            CREATE TABLE items (item uuid, factors float8[]);
            CREATE TABLE seen ("the ""user" text, item uuid);
            INSERT INTO "a user" VALUES ('it''s', '{1,2}'), ('all', '{0,0}'), ('none', '{1,NULL}'), ('nan', '{NaN,1}');
            INSERT INTO items SELECT ('00000000-0000-0000-0000-00000000000' || n)::uuid, ARRAY[n % 3, 1]
            FROM generate_series(1, 5) AS n;
            INSERT INTO seen SELECT 'all', item FROM items;
            INSERT INTO seen VALUES ('it''s', '00000000-0000-0000-0000-000000000002'), ('stranger', NULL);
            """,
        )
        yield connection
        connection.close()


def ranks(connection: Any) -> list[tuple[Any, ...]]:
    return [(user, int(str(item)[-1]), rank, score) for user, item, rank, score in fetch(connection, BEST)]


def test_ties_go_by_the_key_and_nothing_without_a_score_ranks(connection: Any) -> None:
    assert fetch(connection, CALL) == [(4, 4, 2, 0, 0)]
    assert ranks(connection) == [("it's", 5, 1, 4.0), ("it's", 1, 2, 3.0)]
    assert fetch(connection, CALL) == [(4, 0, 0, 0, 0)]


@pytest.mark.parametrize(
    ("change", "counts", "best"),
    [
        (
            "DELETE FROM seen WHERE item IS NOT NULL",
            (4, 2, 3, 1, 1),
            [("all", 1), ("all", 2), ("it's", 2), ("it's", 5)],
        ),
        ("UPDATE \"a user\" SET factors = '{-1,2}' WHERE factors[2] = 2", (4, 1, 1, 1, 1), [("it's", 3), ("it's", 1)]),
        ('DELETE FROM "a user" WHERE factors[2] = 2', (3, 0, 0, 0, 2), []),
        ("DELETE FROM items WHERE factors[1] = 2", (4, 4, 1, 1, 1), [("it's", 1), ("it's", 4)]),
        ("INSERT INTO seen SELECT * FROM seen", (4, 0, 0, 0, 0), [("it's", 5), ("it's", 1)]),
        ('DROP TABLE "my recs"', (4, 4, 2, 0, 0), [("it's", 5), ("it's", 1)]),
    ],
)
def test_what_changes_a_ranking(connection: Any, change: str, counts: tuple[int, ...], best: list[Any]) -> None:
    run(connection, CALL)
    run(connection, change)
    assert fetch(connection, CALL) == [counts]
    assert [user_item[:2] for user_item in ranks(connection)] == best


@pytest.mark.parametrize(
    ("change", "call", "says"),
    [
        ("UPDATE items SET factors = '{1}' WHERE factors[1] = 2", CALL, "not all of one length"),
        ("INSERT INTO items SELECT * FROM items LIMIT 1", CALL, "not unique"),
        ('INSERT INTO "a user" VALUES (NULL)', CALL, "or NULL in some rows"),
        ("ALTER TABLE items ALTER factors TYPE real[]", CALL, "items has no column factors of type double precision"),
        ("ALTER TABLE seen DROP item", CALL, "seen has no column item"),
        ("SELECT", CALL.replace(", 2,", ", 0,"), "at least 1 item"),
        ("SELECT", CALL.replace('public."my recs"', "recs"), "no name for a target"),
        ("SELECT", CALL.replace("'item'", "'score'"), "names of its own"),
    ],
)
def test_what_is_refused(connection: Any, change: str, call: str, says: str) -> None:
    run(connection, change)
    with pytest.raises(psycopg2.Error, match=says) as error:
        run(connection, call)
    assert error.value.pgcode[:2] == "PS"
    assert fetch(connection, "SELECT to_regclass('\"my recs\"')") == [(None,)]
