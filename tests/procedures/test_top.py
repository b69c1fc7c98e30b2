"""Top-N jobs: the best rows for each user, against pandas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from psycopg2.extras import execute_values

from pgscore.compiler.artifact import Strategy
from pgscore.errors import RefusedError, RightsError, SignatureError
from pgscore.procedures import lifecycle
from pgscore.procedures.challenger import set_challenger
from pgscore.procedures.install import install
from pgscore.procedures.refresh import Top, create_job, run_job

from ..support.refreshing import churn_model, connection, connection15, counts, customers, deployed, fetch, run
from ..support.roles import login, name_of

__all__ = ["connection", "connection15"]

USERS, ITEMS = 60, 50


def candidates() -> pd.DataFrame:
    """Users × items with the features of some customer: few customers, so that many scores tie."""
    rng = np.random.default_rng(3)
    frame = customers().iloc[rng.integers(0, 30, USERS * ITEMS)].reset_index(drop=True)
    frame["user_id"], frame["item_id"] = np.divmod(np.arange(USERS * ITEMS), ITEMS)
    frame["category"] = [["a", "b's", None][i] for i in rng.integers(0, 3, len(frame))]
    frame["price"] = rng.choice([1.5, 2.5, np.nan], len(frame))
    return frame[rng.random(len(frame)) < 0.9]


@pytest.fixture
def shop(connection: Any) -> tuple[Any, pd.DataFrame]:
    frame = candidates()
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE candidates (user_id int, item_id bigint, tenure int, charge float8, plan text, category text,"
            " price float8, PRIMARY KEY (item_id, user_id))"
        )
        columns = ["user_id", "item_id", "tenure", "charge", "plan", "category", "price"]
        records = frame[columns].astype(object).where(frame[columns].notna(), None)
        execute_values(
            cursor, "INSERT INTO candidates VALUES %s", records.sample(frac=1, random_state=0).values.tolist()
        )
        cursor.execute(
            "CREATE VIEW scored AS SELECT c.*, score.churn_v1(tenure, charge, plan) AS score FROM candidates c"
        )
    frame["score"] = [s for (s,) in fetch(connection, "SELECT score FROM scored ORDER BY user_id, item_id")]
    assert np.allclose(frame.score, churn_model().predict_proba(frame)[:, 1], rtol=1e-12)
    return connection, frame


def ranked(frame: pd.DataFrame, n: int, by: str = "score", per: str | None = "user_id") -> pd.DataFrame:
    """The rows that a job keeps, by pandas alone."""
    order = frame[frame[by].notna() & frame.score.notna()].sort_values(
        [by, "user_id", "item_id"], ascending=[False, True, True]
    )
    order["rank"] = (order.groupby(per).cumcount() if per else np.arange(len(order))) + 1
    return order[order["rank"] <= n].sort_values(["user_id", "item_id"])


def stored(connection: Any, frame: pd.DataFrame, table: str = "recs") -> None:
    """Checks the table against the frame."""
    rows = fetch(connection, f"SELECT user_id, item_id, rank, score FROM {table} ORDER BY user_id, item_id")
    frame = frame.sort_values(["user_id", "item_id"])
    assert rows == list(zip(frame.user_id, frame.item_id, frame["rank"], frame.score, strict=True))


def job(connection: Any, *args: Any, **top: Any) -> None:
    given = {"model": "churn", "source": "candidates", "keys": ["user_id", "item_id"], "target": "recs"}
    create_job(connection, "recs", **given, top=Top(*args, **top))  # type: ignore[arg-type]


def test_each_user_has_the_best_rows_and_a_run_writes_the_difference(shop: tuple[Any, pd.DataFrame]) -> None:
    connection, frame = shop
    job(connection, 10, ["user_id"])
    assert counts(run_job(connection, "recs")) == (len(frame), USERS * 10, 0, 0)
    expected = ranked(frame, 10)
    assert expected.duplicated(["user_id", "score"]).any(), "no ties"
    stored(connection, expected)
    assert counts(run_job(connection, "recs")) == (len(frame), 0, 0, 0)

    # The best row of one user goes: the others move up, and the eleventh comes in.
    best = expected[(expected.user_id == 7) & (expected["rank"] == 1)].iloc[0]
    run(connection, f"DELETE FROM candidates WHERE user_id = 7 AND item_id = {best.item_id}")
    assert counts(run_job(connection, "recs")) == (len(frame) - 1, 1, 9, 1)
    stored(connection, ranked(frame.drop(best.name), 10))


def test_by_a_column_and_over_all(shop: tuple[Any, pd.DataFrame]) -> None:
    connection, frame = shop
    job(connection, 7, ["user_id"], order_by="price")
    assert run_job(connection, "recs").rows == len(frame)
    stored(connection, ranked(frame, 7, "price"))
    create_job(
        connection, "all", model="churn", source="candidates", keys=["user_id", "item_id"], target="best", top=Top(5)
    )
    run_job(connection, "all")
    stored(connection, ranked(frame, 5, per=None), "best")


def test_rows_without_a_score_never_rank(shop: tuple[Any, pd.DataFrame]) -> None:
    connection, frame = shop
    frame.loc[frame.item_id < 45, "score"] = None
    run(connection, "UPDATE candidates SET charge = 'Infinity' WHERE item_id < 45")
    job(connection, 10, ["user_id"])
    result = run_job(connection, "recs")
    assert result.refused == (frame.item_id < 45).sum()
    stored(connection, ranked(frame, 10))


def test_the_view_shows_what_is_eligible_and_diverse(shop: tuple[Any, pd.DataFrame]) -> None:
    connection, frame = shop
    run(
        connection,
        "CREATE TABLE stock (item_id bigint, category int); INSERT INTO stock SELECT generate_series(0, 49, 2)",
    )
    job(connection, 5, ["user_id"], keep=30, diverse="category", max_per=2, eligible="stock")
    run_job(connection, "recs")
    kept = ranked(frame, 30)
    stored(connection, kept)
    assert fetch(connection, "SELECT category FROM recs ORDER BY user_id, item_id") == [
        (None if pd.isna(c) else c,) for c in kept.category
    ]

    def shown(kept: pd.DataFrame) -> pd.DataFrame:
        chosen = []
        for _, rows in kept.sort_values("rank").groupby("user_id"):
            seen: dict[Any, int] = {}
            for row in rows.itertuples():
                if row.item_id % 2 == 0 and seen.get(row.category, 0) < 2 and sum(seen.values()) < 5:
                    seen[row.category] = seen.get(row.category, 0) + 1
                    chosen.append((row.user_id, row.item_id, sum(seen.values()), row.score))
        return pd.DataFrame(chosen, columns=["user_id", "item_id", "rank", "score"])

    expected = shown(kept.assign(category=kept.category.fillna("none")))
    assert len(expected) > 4 * USERS
    stored(connection, expected, "recs_top")

    # At read time: no run in between.
    run(connection, "DELETE FROM stock WHERE item_id = 0")
    assert fetch(connection, "SELECT count(*) FROM recs_top WHERE item_id = 0") == [(0,)]
    run(connection, "SELECT pgscore.drop_refresh('recs')")
    job(connection, 5, ["user_id"], keep=30, diverse="category", max_per=2, eligible="stock")
    run(connection, "SELECT pgscore.drop_refresh('recs'); COMMENT ON VIEW recs_top IS 'mine'")
    with pytest.raises(RefusedError, match="recs_top exists already"):
        job(connection, 5, ["user_id"], keep=30)


def test_a_canary_is_ranked_by_what_it_shows(shop: tuple[Any, pd.DataFrame]) -> None:
    connection, frame = shop
    lifecycle.promote(connection, "churn", 2, alias="challenger")
    job(connection, 10, ["user_id"])
    set_challenger(connection, "recs", "challenger", 0.5)
    run_job(connection, "recs")
    condition = "hash_record_extended(ROW(user_id, item_id), hashtextextended('churn', 0)) & 9007199254740991"
    mixed = fetch(
        connection,
        f"SELECT CASE WHEN {condition} < 4503599627370496 THEN score.churn_v2(tenure, charge, plan)"
        " ELSE score.churn_v1(tenure, charge, plan) END FROM candidates ORDER BY user_id, item_id",
    )
    stored(connection, ranked(frame.assign(score=[s for (s,) in mixed]), 10))
    assert fetch(connection, "SELECT DISTINCT model_version FROM recs ORDER BY 1") == [(1,), (2,)]


@pytest.mark.parametrize(
    ("top", "says"),
    [
        (Top(0, ["user_id"]), "at least 1"),
        (Top(5, ["user_id"], keep=4), "fewer rows than it shows"),
        (Top(5, ["category"]), "per columns of its key"),
        (Top(5, order_by="cost"), "rank by cost, which public.candidates does not have"),
        (Top(5, diverse="color", max_per=1), "color, which"),
        (Top(5, diverse="category"), "how many rows of one value"),
        (Top(5, eligible="customers"), "no column of the key"),
    ],
)
def test_what_makes_no_sense_is_refused(shop: tuple[Any, pd.DataFrame], top: Top, says: str) -> None:
    connection, _ = shop
    given = {"model": "churn", "source": "candidates", "keys": ["user_id", "item_id"], "target": "recs"}
    with pytest.raises(SignatureError, match=says):
        create_job(connection, "recs", **given, top=top)  # type: ignore[arg-type]
    assert fetch(connection, "SELECT to_regclass('recs')") == [(None,)]


def test_outputs_are_stored_beside_the_score(connection: Any) -> None:
    create_job(
        connection, "daily", model="churn", source="customers", keys=["id"], target="scores", outputs=["label", "proba"]
    )
    run_job(connection, "daily")
    model, frame = churn_model(), customers()
    rows = fetch(connection, "SELECT score, label, proba FROM scores ORDER BY id")
    probabilities = model.predict_proba(frame)
    assert np.allclose([r[0] for r in rows], probabilities[:, 1], rtol=1e-12)
    assert [r[1] for r in rows] == model.predict(frame).tolist()
    assert np.allclose([r[2] for r in rows], probabilities, rtol=1e-12)
    assert counts(run_job(connection, "daily"))[1:] == (0, 0, 0)
    run(connection, "UPDATE scores SET label = NOT label WHERE id < 5")
    assert counts(run_job(connection, "daily"))[1:] == (0, 5, 0)
    with pytest.raises(SignatureError, match="churn_v1 has no output 'distance'"):
        create_job(
            connection, "more", model="churn", source="customers", keys=["id"], target="more", outputs=["distance"]
        )


def test_outputs_of_a_canary_are_the_challengers(connection: Any) -> None:
    lifecycle.promote(connection, "churn", 2, alias="challenger")
    create_job(connection, "daily", model="churn", source="customers", keys=["id"], target="scores", outputs=["proba"])
    set_challenger(connection, "daily", "challenger", 0.3)
    run_job(connection, "daily")
    frame = customers()
    expected = {v: churn_model(**o).predict_proba(frame) for v, o in ((1, {}), (2, {"C": 0.01}))}
    rows = fetch(connection, "SELECT id, model_version, score, proba FROM scores ORDER BY id")
    assert {version for _, version, _, _ in rows} == {1, 2}
    for key, version, score, proba in rows:
        assert np.allclose([*proba, score], [*expected[version][key], expected[version][key, 1]], rtol=1e-12)


def test_a_scorer_has_top_jobs_of_their_own(shop: tuple[Any, pd.DataFrame]) -> None:
    connection, frame = shop
    run(connection, "CREATE TABLE stock AS SELECT DISTINCT item_id FROM candidates")
    with login(connection, "pgscore_scorer") as scorer:
        name = name_of(scorer)
        run(connection, f"GRANT SELECT ON candidates, stock TO {name}; CREATE SCHEMA lab AUTHORIZATION {name}")
        given = {"model": "churn", "source": "candidates", "keys": ["user_id", "item_id"], "target": "lab.recs"}
        top = Top(10, ["user_id"], keep=12, eligible="stock")
        create_job(scorer, "recs", **given, outputs=["label"], top=top)  # type: ignore[arg-type]
        run_job(scorer, "recs")
        stored(scorer, ranked(frame, 10), "lab.recs_top")
        with login(connection, "pgscore_scorer") as other, pytest.raises(RightsError):
            run_job(other, "recs")
        run(connection, "DROP SCHEMA lab CASCADE")


def test_an_onnx_version_is_ranked_from_its_batches(connection15: Any, runtime_folder: Path) -> None:
    install(connection15, plpython=True, runtime=runtime_folder)
    model = deployed(connection15, churn_model(), name="graph", strategy=Strategy.ONNX)
    create_job(
        connection15,
        "daily",
        model="graph",
        source="customers",
        keys=["region", "id"],
        target="scores",
        outputs=["label"],
        top=Top(20, ["region"], order_by="tenure", keep=25, diverse="plan", max_per=9),
    )
    assert run_job(connection15, "daily").inserted == 50
    frame = customers()
    order = frame.assign(id=frame.index, region=np.where(frame.index % 2, "north", "south"))
    order = order.sort_values(["region", "tenure", "id"], ascending=[True, False, True]).groupby("region").head(25)
    rows = fetch(connection15, "SELECT id, score, label, plan FROM scores ORDER BY region, rank")
    assert [row[0] for row in rows] == order.id.tolist()
    np.testing.assert_allclose([row[1] for row in rows], model.predict_proba(order)[:, 1], rtol=1e-12)
    assert [row[2] for row in rows] == model.predict(order).tolist()
    shown = order.groupby(["region", "plan"]).head(9).groupby("region").head(20)
    assert fetch(connection15, "SELECT id FROM scores_top ORDER BY region, rank") == [(key,) for key in shown.id]
