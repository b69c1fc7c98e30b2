"""Recommenders: odd names, ties, what changes a ranking, the life of a version, rights, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psycopg2
import pytest

from pgscore.compiler.artifact import Strategy
from pgscore.compiler.factorisation import Factorisation
from pgscore.compiler.load import LoadedModel
from pgscore.errors import ParityError, PgscoreError, RefusedError, SignatureError, UsageError
from pgscore.procedures.challenger import set_challenger
from pgscore.procedures.connection import connect
from pgscore.procedures.deploy import deploy
from pgscore.procedures.explain import explain_job
from pgscore.procedures.export import export
from pgscore.procedures.lifecycle import drop, promote, rollback
from pgscore.procedures.refresh import Top, create_job, drop_job, run_job, status
from pgscore.procedures.verify import verify

from ..support.databases import copied, template
from ..support.refreshing import counts, fetch, run
from ..support.roles import login, name_of
from ..support.servers import Server
from ..support.tiny import classifier
from ..support.whole import assert_catalog_is_whole

USER = 'the "user'
USERS = np.array(["it's", "all", "zero"])
ITEMS = np.arange(1, 6)
STORED = Factorisation(
    "NMF",
    USERS,
    ITEMS,
    np.array([[1.0, 2.0], [0.5, 0.0], [0.0, 0.0]]),
    np.column_stack([ITEMS % 3, np.ones(5)]).astype(float),
    USER,
    "item",
)
FOLDED = replace(STORED, estimator="TruncatedSVD", rating="stars")
BEST = f'SELECT "{USER.replace(chr(34), 2 * chr(34))}", item, rank, score FROM recs ORDER BY 1, 3'


def fill(connection: Any) -> None:
    """What three users of the model and a stranger have seen."""
    run(
        connection,
        """
        CREATE TABLE seen (
            "the ""user" text, item smallint, stars numeric, noted text, PRIMARY KEY ("the ""user", item));
        INSERT INTO seen SELECT 'all', n, 1 FROM generate_series(1, 5) AS n;
        INSERT INTO seen VALUES ('it''s', 2, 3), ('it''s', 99, 5), ('zero', 1, NULL), ('stranger', 3, 4);
        """,
    )


@pytest.fixture
def connection(server: Server) -> Iterator[Any]:
    with copied(server, template(server, "pgscore_seen", fill, template(server))) as dsn:
        connection = connect(dsn)
        yield connection
        connection.close()


def released(connection: Any, model: Factorisation = STORED, name: str = "taste", **options: Any) -> int:
    loaded = LoadedModel(model, Path("m.npz"), "factors", model.sha256, {}, model.estimator)
    return deploy(connection, loaded, name=name, table="seen", **options).version


def job(connection: Any, mode: str = "incremental", **options: Any) -> None:
    given = {"model": "taste", "source": "seen", "keys": [USER, "item"], "target": "recs", "top": Top(2), **options}
    create_job(connection, "daily", mode=mode, **given)


def expected(connection: Any, model: Factorisation, top: int = 2) -> list[tuple[str, int, int, float]]:
    """By numpy."""
    ranked: list[tuple[str, int, int, float]] = []
    ratings = fetch(connection, f"SELECT {', '.join(columns(model))} FROM seen")
    for user in sorted({row[0] for row in ratings}):
        seen = {row[1]: row[2] for row in ratings if row[0] == user}
        if model.rating is None:
            factors = model.user_factors[model.users == user]
        else:
            known = [item for item in seen if item in model.items]
            given = np.array([[float(seen.get(item) or 0) for item in model.items]])
            factors = given @ model.item_factors if known else np.empty((0, 2))
        for scores in factors @ model.item_factors.T:
            order = [i for i in np.lexsort((model.items, -scores)) if model.items[i] not in seen]
            ranked += [(user, int(model.items[i]), n + 1, float(scores[i])) for n, i in enumerate(order[:top])]
    return ranked


def columns(model: Factorisation) -> list[str]:
    return ['"the ""user"', "item", "NULL" if model.rating is None else model.rating]


@pytest.mark.parametrize("model", [STORED, FOLDED], ids=["stored", "folded in"])
@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_ties_go_by_the_key(connection: Any, model: Factorisation, mode: str) -> None:
    released(connection, model)
    job(connection, mode)
    wanted = expected(connection, model)
    assert [row[:3] for row in wanted[:2]] == [("it's", 5, 1), ("it's", 1, 2)], "1 and 4 have the same factors"
    assert {row[0] for row in wanted} == {"it's", "zero"} | (set() if model is STORED else {"stranger"})
    assert run_job(connection, "daily").inserted == len(wanted)
    assert fetch(connection, BEST) == wanted
    assert counts(run_job(connection, "daily"))[1:] == (0, 0, 0)
    assert [row.state for row in status(connection)] == ["fresh"]


CHANGES = {
    "an item is seen": "INSERT INTO seen VALUES ('it''s', 5, 1)",
    "a user is new": "INSERT INTO seen VALUES ('newcomer', 4, 2)",
    "a rating changes": "UPDATE seen SET stars = 0.5 WHERE item = 2",
    "a rating is taken back": "DELETE FROM seen WHERE item = 2",
    "a user is gone": "DELETE FROM seen WHERE stars = 3 OR stars = 5",
    "another column changes": "UPDATE seen SET noted = 'x'",
    "a user has another name": 'UPDATE seen SET "the ""user" = \'zero\' WHERE item = 99',
    "all is gone": "TRUNCATE seen",
}


@pytest.mark.parametrize(
    ("model", "changes"), [(STORED, None), (FOLDED, None), (FOLDED, "hash")], ids=["stored", "folded in", "by hash"]
)
@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_a_ranking(connection: Any, model: Factorisation, changes: str | None, change: str) -> None:
    released(connection, model)
    job(connection, changes=changes)
    run_job(connection, "daily")
    at = "SELECT xmin::text, item FROM recs"
    before = fetch(connection, at)
    run(connection, CHANGES[change])
    done = run_job(connection, "daily")
    assert fetch(connection, BEST) == expected(connection, model)
    if change == "another column changes":
        assert (counts(done), fetch(connection, at)) == ((0, 0, 0, 0), before)
    drop_job(connection, "daily")
    run(connection, "DROP TABLE recs")
    job(connection, "full")
    run_job(connection, "daily")
    assert fetch(connection, BEST) == expected(connection, model), "as a full run says"


@pytest.mark.parametrize("stars", ["'NaN'", "'Infinity'", "1e300", "-1e60"])
def test_a_rating_beyond_all_numbers_leaves_its_user_out(connection: Any, stars: str) -> None:
    released(connection, FOLDED)
    job(connection)
    run(connection, f"UPDATE seen SET stars = {stars} WHERE item = 2 AND stars = 3")
    run_job(connection, "daily")
    found = fetch(connection, BEST)
    run(connection, "DELETE FROM seen WHERE \"the \"\"user\" = 'it''s'")
    assert found == expected(connection, FOLDED)


def test_numbers_at_the_edge_of_the_doubles(connection: Any) -> None:
    """Where PostgreSQL raises, numpy gives 0 or what is next to it."""
    edge = np.array([[1e100, 1e-160], [-1e100, 1e-150], [3e-150, 1e-150], [0.0, 1e-300], [1.0, -1e100]])
    model = replace(FOLDED, item_factors=edge, user_factors=edge[:3])
    released(connection, model)
    assert verify(connection, "taste").passed
    run(connection, "UPDATE seen SET stars = 1e-200 WHERE item = 3")
    job(connection)
    run_job(connection, "daily")
    found = [(row[0], row[1]) for row in fetch(connection, BEST)]
    assert {user for user, _ in found} == {"it's", "stranger", "zero"}


def test_the_life_of_versions(connection: Any) -> None:
    released(connection)
    job(connection)
    run_job(connection, "daily")
    other = replace(STORED, items=ITEMS + 10, user_factors=STORED.user_factors + 1)
    assert released(connection, other) == 2
    assert [row.state for row in status(connection)] == ["fresh"]
    promote(connection, "taste", 2)
    assert [row.state for row in status(connection)] == ["behind"]
    assert run_job(connection, "daily").version == 2
    assert fetch(connection, BEST) == expected(connection, other)
    assert fetch(connection, "SELECT DISTINCT model_version FROM recs") == [(2,)]
    assert fetch(
        connection, "SELECT score.taste('it''s', 11), score.taste_v1('it''s', 1), score.taste('it''s', 1)"
    ) == [(5.0, 3.0, None)]
    rollback(connection, "taste")
    run_job(connection, "daily")
    assert fetch(connection, BEST) == expected(connection, STORED)
    assert_catalog_is_whole(connection)
    with pytest.raises(RefusedError, match="in use"):
        drop(connection, "taste", 1)
    drop(connection, "taste", 2)
    assert_catalog_is_whole(connection)
    drop_job(connection, "daily")
    drop(connection, "taste")
    assert_catalog_is_whole(connection)
    assert fetch(connection, "SELECT count(*) FROM pg_proc WHERE pronamespace = 'score'::regnamespace") == [(0,)]


def test_a_dry_run_leaves_nothing(connection: Any) -> None:
    released(connection, dry_run=True)
    assert_catalog_is_whole(connection)
    assert fetch(connection, "SELECT count(*) FROM pgscore.models") == [(0,)]


def test_factors_never_change(connection: Any) -> None:
    released(connection)
    for statement in ("UPDATE pgscore.taste_v1_items SET f1 = 0", "TRUNCATE pgscore.taste_v1_users"):
        with pytest.raises(psycopg2.Error, match="its rows never change"):
            run(connection, statement)
    with pytest.raises(psycopg2.Error, match="is not being deployed"):
        run(connection, "SELECT pgscore.add_factors('taste', 1, 'users', '{x}', '{1,2}')")
    assert verify(connection, "taste").passed
    run(connection, "SET session_replication_role = replica; UPDATE pgscore.taste_v1_items SET f2 = f2 + 1e-15")
    run(connection, "SET session_replication_role = origin")
    assert "other factors" in verify(connection, "taste").summary()


def test_a_restore_never_stores_scores_without_factors(connection: Any) -> None:
    released(connection)
    emptied = "SET LOCAL session_replication_role = replica; TRUNCATE pgscore.taste_v1_users"
    with pytest.raises(psycopg2.Error, match="are not there yet"):
        run(connection, f"{emptied}; SELECT score.taste('all', 1)")
    assert fetch(connection, "SELECT score.taste('all', 1), score.taste('nobody', 1)") == [(0.5, None)]


def test_a_deploy_that_loses_factors_is_refused(connection: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Factorisation, "sha256", "00")
    with pytest.raises(ParityError, match="other factors"):
        released(connection)


def test_who_may_do_what(connection: Any) -> None:
    run(connection, "GRANT SELECT ON seen TO pgscore_deployer, pgscore_scorer")
    with login(connection, "pgscore_deployer") as deployer:
        released(deployer)
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            run(deployer, "SELECT FROM pgscore.taste_v1_users")
        assert verify(deployer, "taste").passed
    with login(connection, "pgscore_scorer") as scorer:
        run(connection, f"CREATE SCHEMA lab AUTHORIZATION {name_of(scorer)}")
        job(scorer, "full", target="lab.recs")
        run_job(scorer, "daily")
        run(scorer, "SET search_path = lab, public")
        assert fetch(scorer, BEST) == expected(connection, STORED)
        for table in ("users", "items"):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                run(scorer, f"SELECT FROM pgscore.taste_v1_{table}")
        drop_job(scorer, "daily")
        run(connection, "DROP SCHEMA lab CASCADE")
    with login(connection) as stranger, pytest.raises(psycopg2.errors.InsufficientPrivilege):
        run(stranger, "SELECT FROM score.taste_v1_top('all', '{}', 3)")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            "make_factors('taste', 1, 'u', 'text', 'i', 'name', 2, false)",
            "no factorisation that this database can hold",
        ),
        (
            "make_factors('taste', 1, 'u', 'text', 'i', 'text', 901, false)",
            "no factorisation that this database can hold",
        ),
        ("add_factors('taste', 1, 'users', '{a,b}', '{1,2,3}')", "these are no factors"),
        ("add_factors('taste', 1, 'users', '{a}', '{1,NaN}')", "these are no factors"),
        ("add_factors('taste', 1, 'users', '{a}', '{1,1e-200}')", "these are no factors"),
        ("add_factors('taste', 1, 'nobody', '{a}', '{1,2}')", "these are no factors"),
        ("add_factors('taste', 1, 'items', '{2147483648}', '{1,2}')", "is no integer"),
        ("add_factors('taste', 1, 'users', '{a,a}', '{1,2,3,4}')", "is there twice"),
        ("add_factors('other', 1, 'users', '{a}', '{1,2}')", "is not being deployed"),
    ],
)
def test_the_steps_of_a_deploy_check_what_they_are_given(connection: Any, call: str, says: str) -> None:
    first = "SELECT pgscore.begin_version('taste');"
    if call.startswith("add"):
        first += "SELECT pgscore.make_factors('taste', 1, 'u', 'text', 'i', 'integer', 2, false);"
    with pytest.raises(psycopg2.Error, match=says) as error:
        run(connection, f"{first} SELECT pgscore.{call}")
    assert error.value.pgcode[:2] == "PS"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"keys": ["item", USER]}, "in this order"),
        ({"keys": [USER, "item"], "top": Top(2, ["item"])}, "per "),
        ({"top": Top(2, order_by="stars")}, "by their score"),
        ({"top": Top(2, diverse="noted", max_per=1, keep=5)}, "diverse"),
        ({"outputs": ["top"]}, "no more outputs"),
        ({"carry": ["noted"]}, "to carry columns from"),
        ({"source": "unrated"}, "needs the column stars"),
    ],
)
def test_jobs_that_are_refused(connection: Any, options: dict[str, Any], says: str) -> None:
    released(connection, FOLDED)
    run(connection, 'CREATE VIEW unrated AS SELECT "the ""user", item FROM seen')
    with pytest.raises(PgscoreError, match=says):
        job(connection, "full", **options)
    assert status(connection) == []


def test_what_is_no_recommender_s(connection: Any) -> None:
    released(connection)
    with pytest.raises(UsageError, match="no other strategy"):
        released(connection, strategy=Strategy.SQL)
    with pytest.raises(RefusedError, match="deploy its file"):
        export(connection, "taste")
    with pytest.raises(SignatureError, match="the keys of users and items are integers or texts"):
        released(connection, replace(STORED, item="stars"))
    run(connection, "CREATE TABLE customers (id integer, tenure integer, monthly float8)")
    with pytest.raises(RefusedError, match="all are recommenders or none"):
        deploy(connection, classifier(), name="taste", table="customers")
    released(connection)
    promote(connection, "taste", 2, alias="challenger")
    job(connection)
    with pytest.raises(PgscoreError, match="it has no challenger"):
        set_challenger(connection, "daily", "challenger")


def test_pairs_are_scored_like_the_rows_of_any_model(connection: Any) -> None:
    """Without top, a job scores what its source holds."""
    released(connection)
    create_job(connection, "pairs", model="taste", source="seen", keys=[USER, "item"], target="scores")
    run_job(connection, "pairs")
    rows = fetch(connection, 'SELECT "the ""user", item, score FROM scores')
    given = {USER: [row[0] for row in rows], "item": [row[1] for row in rows]}
    assert [row[2] for row in rows] == STORED.answers(given)[""]
    assert len(rows) == 9
    assert {row[0] for row in rows if row[2] is None} == {"it's", "stranger"}


def test_what_a_run_would_do_is_explained(connection: Any) -> None:
    released(connection, FOLDED)
    job(connection)
    run_job(connection, "daily")
    run(connection, CHANGES["a rating changes"])
    said = {reason.topic: reason for reason in explain_job(connection, "daily", plan=True)}
    assert (said["queue"].value, said["rights"].value) == (2, [])
    assert "taste_v1_top" in said["plan"].says
    released(connection, FOLDED, promote=True)
    said = {reason.topic: reason for reason in explain_job(connection, "daily")}
    assert said["outdated"].says == "all is of another version than 2: all is scored anew"
    run(connection, "ALTER TABLE seen DROP stars")
    assert (
        "needs the column stars"
        in {reason.topic: reason for reason in explain_job(connection, "daily")}["problem"].says
    )


@pytest.mark.parametrize("model", [STORED, FOLDED], ids=["stored", "folded in"])
def test_who_has_seen_nothing_comes_from_a_view(connection: Any, model: Factorisation) -> None:
    released(connection, model)
    run(
        connection,
        """
        DELETE FROM seen WHERE "the ""user" = 'all';
        CREATE VIEW everybody AS SELECT "the ""user", item, stars FROM seen UNION ALL SELECT 'all', NULL, NULL""",
    )
    job(connection, "full", source="everybody")
    run_job(connection, "daily")
    wanted = [("all", 2, 1, 1.0), ("all", 5, 2, 1.0)] if model is STORED else []
    assert fetch(connection, BEST) == wanted + expected(connection, model)


def test_a_view_shows_the_eligible_ones(connection: Any) -> None:
    released(connection)
    run(connection, "CREATE TABLE stock (item integer); INSERT INTO stock VALUES (1), (3), (4)")
    job(connection, "full", top=Top(1, keep=4, eligible="stock"))
    run_job(connection, "daily")
    assert fetch(connection, "SELECT item FROM recs_top WHERE \"the \"\"user\" = 'it''s'") == [(1,)]
