"""Exports of models with hostile names, of wide models, and exports that are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from pgscore.compiler.artifact import Strategy
from pgscore.errors import NotFoundError, RefusedError, RightsError, UsageError
from pgscore.procedures.deploy import deploy
from pgscore.procedures.export import export

from ..support import hostile, psql
from ..support.exports import exported, functions, objects, other_database
from ..support.roles import Cast
from ..support.servers import Server
from ..support.tiny import classifier, loaded, make_customers, opened, query


@pytest.fixture
def source(admin: Any) -> Any:
    return admin


@pytest.mark.parametrize("strategy", [Strategy.SQL, Strategy.PLPGSQL])
def test_hostile_names(source: Any, server: Server, strategy: Strategy, tmp_path: Path) -> None:
    model = hostile.model()
    with other_database(server) as (dsn, there):
        for connection in (source, there):
            hostile.make_table(connection)
        query(source, f"GRANT USAGE ON SCHEMA {hostile.SCHEMA} TO pgscore_owner")
        deploy(source, model, name="hostile", table=hostile.TABLE, strategy=strategy)
        before = objects(there)
        folder = exported(source, tmp_path, "hostile")
        variables = ("-v", "x=; DROP TABLE customers; --", "-v", "body=evil")
        psql.done(dsn, folder / "deploy.sql", *variables)
        assert f"; 60 rows of {hostile.TABLE}" in psql.done(dsn, folder / "verify.sql", *variables)
        found = query(there, f"SELECT score.hostile(c.*), score.hostile_proba(c.*) FROM {hostile.TABLE} c")
        frame = hostile.frame()
        assert [row[0] for row in found] == model.estimator.predict(frame).tolist()
        np.testing.assert_allclose([row[1] for row in found], model.estimator.predict_proba(frame), rtol=1e-10)
        psql.done(dsn, folder / "revert.sql", *variables)
        assert objects(there) == before


@pytest.mark.parametrize("strategy", [Strategy.SQL, Strategy.PLPGSQL])
def test_more_than_100_inputs(source: Any, server: Server, strategy: Strategy, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(20, 101)).astype("float32"), columns=[f"c {i}\n" for i in range(101)])
    model = loaded(LinearRegression().fit(frame.astype(float), rng.normal(size=20)))
    columns = ", ".join(f'"{name}" {"real" if number % 3 else "float8"}' for number, name in enumerate(frame))
    with other_database(server) as (dsn, there):
        for connection in (source, there):
            hostile.fill(connection, frame.values.tolist(), "wide", columns)
        deploy(source, model, name="wide", table="wide", strategy=strategy)
        folder = exported(source, tmp_path, "wide")
        psql.done(dsn, folder / "deploy.sql")
        assert psql.done(dsn, folder / "verify.sql").startswith("wide version 1: parity holds: ")
        assert functions(there) == ["score.wide(wide)", "score.wide_v1(wide)"]
        found = [row[0] for row in query(there, "SELECT score.wide(w) FROM wide w")]
        np.testing.assert_allclose(found, model.estimator.predict(frame.astype(float)), rtol=1e-9, atol=1e-9)
        body = "RETURNS float8 IMMUTABLE LANGUAGE sql RETURN 0::float8"
        query(there, f"CREATE OR REPLACE FUNCTION score.wide_v1(r wide) {body}")
        assert "score.wide_v1 (predict(X)) differs in" in psql.failed(dsn, folder / "verify.sql")


def test_what_is_refused(source: Any, tmp_path: Path) -> None:
    make_customers(source)
    deploy(source, classifier(), name="churn", table="customers")
    with pytest.raises(NotFoundError, match="version 7"):
        export(source, "churn", 7)
    made = export(source, "churn")
    assert made.files == export(source, "churn", 1).files
    folder = tmp_path / "new" / "folder"
    made.write(folder)
    made.write(folder)
    (folder / "verify.sql").write_text("mine")
    (folder / "deploy.sql").unlink()
    with pytest.raises(UsageError, match=r"verify\.sql in .* would change; --force"):
        made.write(folder)
    assert not (folder / "deploy.sql").exists()
    made.write(folder, force=True)
    assert (folder / "verify.sql").read_text() == made.files["verify.sql"]
    with pytest.raises(UsageError, match="cannot write to"):
        made.write(folder / "verify.sql")
    query(source, "ALTER TABLE customers RENAME TO clients")
    assert "FROM public.clients AS r" in export(source, "churn").files["verify.sql"]
    query(source, "DROP FUNCTION score.churn(clients), score.churn_v1(clients)")
    with pytest.raises(RefusedError, match="functions of churn version 1 are gone"):
        export(source, "churn")


def test_deployers_export(source: Any, cast: Cast) -> None:
    make_customers(source)
    deploy(source, classifier(), name="churn", table="customers", strategy=Strategy.PLPGSQL)
    made = export(cast("deployer"), "churn")
    assert made.files == export(source, "churn").files
    assert "SECURITY DEFINER" not in made.files["deploy.sql"]
    assert "pgscore_s" not in made.files["deploy.sql"]
    with pytest.raises(RightsError, match="permission denied"):
        export(cast("promoter"), "churn")


def test_onnx_is_refused(with_plpython: str) -> None:
    with opened(with_plpython) as connection:
        make_customers(connection)
        deploy(connection, classifier(), name="churn", table="customers", strategy=Strategy.ONNX)
        with pytest.raises(RefusedError, match="deploy it with --strategy sql or plpgsql"):
            export(connection, "churn")
