"""Live views: the stored score where it is fresh, else the model's answer for the row as it is now."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import psycopg2.errors
import pytest
from sklearn.linear_model import LogisticRegression

from pgscore.errors import PgscoreError, RefusedError, SignatureError
from pgscore.procedures.challenger import set_challenger
from pgscore.procedures.lifecycle import promote
from pgscore.procedures.refresh import Top, create_job, drop_job, run_job, set_live
from pgscore.procedures.rights import grant

from ..support.incremental import another, incremental
from ..support.plans import nodes
from ..support.refreshing import N, churn_job, churn_model, connection, customers, deployed, fetch, run
from ..support.roles import login, name_of

__all__ = ["connection"]

ALL = "SELECT id, score, model_version, stored FROM scores_live ORDER BY id"


def answers(version: int = 1, **changed: Any) -> Any:
    model = churn_model(**({} if version == 1 else {"C": 0.01}))
    return model.predict_proba(customers().assign(**changed))[:, 1]


def live(connection: Any, where: str = "true") -> dict[int, tuple[float, int, bool]]:
    rows = fetch(connection, f"SELECT id, score, model_version, stored FROM scores_live WHERE {where}")
    return {key: (score, version, stored) for key, score, version, stored in rows}


def test_a_changed_row_is_computed_and_others_are_stored(connection: Any) -> None:
    incremental(connection, live=True)
    before = live(connection)
    assert len(before) == N
    assert {(version, stored) for _, version, stored in before.values()} == {(1, True)}
    np.testing.assert_allclose([before[key][0] for key in range(N)], answers(), rtol=1e-12)

    run(
        connection,
        "UPDATE customers SET tenure = 1 WHERE id = 7; DELETE FROM customers WHERE id = 8;"
        "INSERT INTO customers VALUES ('n', 9001, 1, 50, 'a')",
    )
    after = live(connection)
    assert {key for key, (_, _, stored) in after.items() if not stored} == {7, 9001}
    assert 8 not in after
    np.testing.assert_allclose(after[7][0], answers(tenure=1)[7], rtol=1e-12)
    assert {key: after[key] for key in after if key not in {7, 9001}} == {
        key: before[key] for key in before if key not in {7, 8}
    }
    ((at, now),) = fetch(connection, "SELECT scored_at, now() FROM scores_live WHERE id = 7")
    assert at == now
    run_job(connection, "daily")
    assert live(connection, "id IN (7, 9001)") == {key: (*after[key][:2], True) for key in (7, 9001)}
    run(connection, "SELECT pgscore.queue_everything('daily')")
    assert live(connection, "stored") == {}
    run(connection, "UPDATE customers SET charge = 'Infinity' WHERE id = 9")
    assert live(connection, "id = 9") == {9: (None, 1, False)}


def test_the_writer_sees_its_own_change_before_it_commits(connection: Any) -> None:
    incremental(connection, live=True)
    with another(connection) as writer, writer.cursor() as cursor:
        cursor.execute("UPDATE customers SET tenure = 1 WHERE id = 7")
        cursor.execute("SELECT score, stored FROM scores_live WHERE id = 7")
        ((score, stored),) = cursor.fetchall()
        np.testing.assert_allclose(score, answers(tenure=1)[7], rtol=1e-12)
        assert not stored
        assert live(connection, "id = 7")[7][2]


@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_no_score_of_an_old_version_is_called_fresh(connection: Any, mode: str) -> None:
    churn_job(connection, mode=mode, live=True)
    run_job(connection, "daily")
    run_job(connection, "daily")
    with another(connection) as reader, reader.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute(ALL)
        seen = cursor.fetchall()
        promote(connection, "churn", 2)
        run(connection, "UPDATE scores SET model_version = 1, score = -1 WHERE id < 3")
        after = live(connection)
        # All of version 2, which no run has scored with: a mixture would show here.
        assert {(version, stored) for _, version, stored in after.values()} == {(2, False)}
        np.testing.assert_allclose([after[key][0] for key in range(N)], answers(2), rtol=1e-12)
        # An open snapshot sees the version that it began with, also where it computes.
        cursor.execute(ALL)
        assert cursor.fetchall() == seen
        cursor.execute("UPDATE customers SET tenure = 1 WHERE id = 7")
        cursor.execute("SELECT score, model_version FROM scores_live WHERE id = 7")
        ((score, version),) = cursor.fetchall()
        assert version == 1
        np.testing.assert_allclose(score, answers(tenure=1 if mode == "incremental" else customers().tenure)[7])
    run_job(connection, "daily")
    run_job(connection, "daily")
    assert {(version, stored) for _, version, stored in live(connection).values()} == {(2, True)}


def test_a_full_job_serves_scores_up_to_its_target_lag(connection: Any) -> None:
    churn_job(connection, live=True, target_lag=timedelta(hours=1))
    assert live(connection, "stored") == {}
    run_job(connection, "daily")
    run(connection, "UPDATE customers SET tenure = 1 WHERE id = 7")
    assert live(connection, "NOT stored") == {}, "a change that the next run brings"
    run(connection, "INSERT INTO customers VALUES ('n', 9001, 1, 50, 'a')")
    assert list(live(connection, "NOT stored")) == [9001]
    run(connection, "UPDATE pgscore.runs SET started_at = started_at - interval '61 min'")
    assert live(connection, "stored") == {}
    np.testing.assert_allclose(live(connection, "id = 7")[7][0], answers(tenure=1)[7], rtol=1e-12)
    run(connection, "SELECT pgscore.set_schedule('daily', NULL, NULL)")
    assert len(live(connection, "stored")) == N


@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_a_lookup_by_key_reads_two_indexes(connection: Any, mode: str) -> None:
    churn_job(connection, mode=mode, keys=["region", "id"], live=True)
    run_job(connection, "daily")
    run_job(connection, "daily")
    run(connection, "ANALYZE customers; ANALYZE scores")
    found = nodes(connection, "SELECT * FROM scores_live WHERE region = 'north' AND id = 7")
    scans = {node["Relation Name"]: node["Node Type"] for node in found if "Relation Name" in node}
    # The target of a full job has its rows in a partition, TARGET_1.
    assert scans == {"customers": "Index Scan", "scores" if mode == "incremental" else "scores_1": "Index Scan"}
    # A stored score costs no look at the model; that is asked once, and only where a row is computed.
    run(connection, "CREATE TABLE asked AS SELECT score FROM scores_live")
    assert fetch(connection, "SELECT count(*) FROM asked") == [(N,)]


def test_a_long_queue_is_not_read(connection: Any) -> None:
    """Of many keys the answer is that a score may be old, and the computed one is right."""
    incremental(connection, live=True)
    ((number,),) = fetch(connection, "SELECT job_id FROM pgscore.jobs")
    asked = f"SELECT id, pgscore.is_queued({number}, ROW(id)) FROM customers WHERE id IN (7, 8) ORDER BY 1"
    run(connection, "UPDATE customers SET tenure = 1 WHERE id > 2100; UPDATE customers SET tenure = 1 WHERE id = 8")
    assert fetch(connection, asked) == [(7, False), (8, True)]
    run(connection, "UPDATE customers SET tenure = 2 WHERE id > 2100")
    assert fetch(connection, asked) == [(7, True), (8, True)]
    run_job(connection, "daily")
    assert fetch(connection, asked) == [(7, False), (8, False)]
    run(connection, f"INSERT INTO pgscore.queue_{number} (k1) SELECT ARRAY[g] FROM generate_series(4000, 6000) AS g")
    np.testing.assert_allclose(live(connection, "id = 7")[7][0], answers()[7], rtol=1e-12)


def test_outputs_of_labels_and_arrays(connection: Any) -> None:
    create_job(
        connection, "tiers", model="tier", source="customers", keys=["id"], target="tiers", outputs=["proba"], live=True
    )
    statement = "SELECT score, proba, stored FROM tiers_live ORDER BY id"
    computed = fetch(connection, statement)
    run_job(connection, "tiers")
    stored = fetch(connection, statement)
    assert {row[2] for row in computed} == {False}
    assert {row[2] for row in stored} == {True}
    assert [row[:2] for row in computed] == [row[:2] for row in stored]


def test_a_source_view_with_narrower_types(connection: Any) -> None:
    """Computed and stored scores agree to the last digit, floats of four bytes too."""
    run(
        connection,
        "CREATE VIEW narrow AS SELECT id, tenure::int2, charge::real, plan::varchar(9) AS plan FROM customers",
    )
    churn_job(connection, source="narrow", live=True)
    computed = live(connection)
    run_job(connection, "daily")
    assert live(connection) == {key: (score, version, True) for key, (score, version, _) in computed.items()}


def test_a_reader_sees_what_source_and_target_let_them_see(connection: Any) -> None:
    incremental(connection, keys=["region", "id"], live=True)
    run(connection, "UPDATE customers SET tenure = 1 WHERE id < 4")
    with login(connection) as reader:
        name = name_of(reader)
        run(connection, f"GRANT SELECT ON customers, scores, scores_live TO {name}")
        run(connection, "ALTER TABLE customers ENABLE ROW LEVEL SECURITY")
        run(connection, f"CREATE POLICY own ON customers USING (region = 'north' AND current_user = '{name}')")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            fetch(reader, ALL)
        grant(connection, "churn", name)
        seen = live(reader)
        assert seen == live(connection, "region = 'north'")
        assert {key for key, (*_, stored) in seen.items() if not stored} == {1, 3}
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            fetch(reader, f"SELECT FROM pgscore.queue_{fetch(connection, 'SELECT job_id FROM pgscore.jobs')[0][0]}")
        run(connection, "REVOKE SELECT ON scores FROM " + name)
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            fetch(reader, ALL)
        run(connection, f"DROP POLICY own ON customers; REVOKE ALL ON customers, scores_live FROM {name}")
        run(connection, f"SELECT pgscore.revoke_model('churn', '{name}')")


def test_the_view_comes_and_goes_with_its_job(connection: Any) -> None:
    churn_job(connection, live=True)
    set_live(connection, "daily", False)
    assert fetch(connection, "SELECT to_regclass('scores_live')") == [(None,)]
    set_live(connection, "daily", True)
    run(connection, "ALTER TABLE scores ADD COLUMN label boolean")
    churn_job(connection, live=True, outputs=["label"], replace=True)
    assert fetch(connection, "SELECT count(label) FROM scores_live") == [(N,)]
    drop_job(connection, "daily")
    assert fetch(connection, "SELECT to_regclass('scores_live')") == [(None,)]

    run(connection, "CREATE VIEW scores_live AS SELECT 1 AS mine")
    with pytest.raises(RefusedError, match="scores_live exists already"):
        churn_job(connection, live=True)
    churn_job(connection)
    drop_job(connection, "daily")
    assert fetch(connection, "SELECT mine FROM scores_live") == [(1,)]


def test_what_has_no_live_view(connection: Any) -> None:
    with pytest.raises(SignatureError, match="ranks rows"):
        churn_job(connection, top=Top(3), live=True)
    promote(connection, "churn", 2, alias="challenger")
    churn_job(connection, live=True)
    set_challenger(connection, "daily", "challenger")
    with pytest.raises(RefusedError, match="takes no canary"):
        set_challenger(connection, "daily", "challenger", 0.1)
    set_live(connection, "daily", False)
    set_challenger(connection, "daily", "challenger", 0.1)
    with pytest.raises(RefusedError, match="has a canary"):
        set_live(connection, "daily", True)
    run(connection, "ALTER TABLE customers RENAME COLUMN id TO stored")
    with pytest.raises(PgscoreError, match="two columns stored"):
        create_job(connection, "b", model="churn", source="customers", keys=["stored"], target="b", live=True)


def test_a_promote_to_other_inputs_is_followed(connection: Any) -> None:
    """The view holds no function of the model: no promote is refused for it."""
    churn_job(connection, live=True)
    run_job(connection, "daily")
    frame = customers()[["tenure"]]
    model = deployed(connection, LogisticRegression().fit(frame, frame.tenure < 9))
    promote(connection, "churn", 3)
    after = live(connection)
    np.testing.assert_allclose([after[key][0] for key in range(N)], model.predict_proba(frame)[:, 1], rtol=1e-12)


def test_carried_columns_and_keys_that_come_back(connection: Any) -> None:
    churn_job(connection, source=None, query="SELECT * FROM customers", carry=["plan"], vanished="keep", live=True)
    run_job(connection, "daily")
    run(connection, "CREATE TABLE gone AS SELECT * FROM customers WHERE id = 7; DELETE FROM customers WHERE id = 7")
    run_job(connection, "daily")
    assert live(connection, "id = 7") == {}
    run(connection, "INSERT INTO customers SELECT region, id, 1, charge, 'new' FROM gone")
    np.testing.assert_allclose(live(connection, "id = 7")[7][0], answers(tenure=1, plan="new")[7], rtol=1e-12)
    assert fetch(connection, "SELECT plan FROM scores_live WHERE id = 7") == [("new",)]
    churn_job(connection, source=None, query="SELECT * FROM customers WHERE id > 7", live=True, replace=True)
    assert fetch(connection, "SELECT min(id) FROM scores_live") == [(8,)]
    drop_job(connection, "daily")
    assert fetch(connection, "SELECT to_regclass('scores_live'), to_regclass('scores_source')") == [(None, None)]
