"""Scoring through PL/Python on a real server, as a plain role that may score and nothing else."""

from __future__ import annotations

import hashlib
import math
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg2
import pytest
from sklearn.ensemble import RandomForestClassifier

from pgscore.compiler import ir
from pgscore.compiler.backends.onnx import export
from pgscore.compiler.frontends import to_program
from pgscore.procedures import plpython
from pgscore.procedures.install import has_plpython, install
from pgscore.procedures.plan import as_script
from pgscore.procedures.runtime import arrays

from ..support.servers import DEBIAN

SCORER = "plain_scorer"


class Model:
    """A forest of three classes, its training rows as a table `t`, and its graph in the catalog."""

    def __init__(self, cursor: Any) -> None:
        rng = np.random.default_rng(3)
        self.x = rng.normal(size=(3000, 4)).astype(np.float32).astype(np.float64)
        self.x[rng.random(self.x.shape) < 0.1] = np.nan
        y = (np.nan_to_num(self.x[:, 0] * self.x[:, 1]) > 0).astype(int) + (np.nan_to_num(self.x[:, 2]) > 1)
        self.model = RandomForestClassifier(n_estimators=20, max_depth=6, random_state=0).fit(self.x, y)
        program = to_program(self.model)
        content = export(program)
        self.sha256 = hashlib.sha256(content).hexdigest()
        self.features = "ARRAY[x0, x1, x2, x3]::float8[]"
        proba = [o.method for o in program.outputs].index(ir.Method.PREDICT_PROBA)
        self.first = sum(len(o.columns) for o in program.outputs[:proba])
        cursor.execute("CREATE TABLE public.t (id int PRIMARY KEY, x0 float8, x1 float8, x2 float8, x3 float8)")
        cursor.execute("GRANT SELECT ON public.t TO public")
        rows = [[None if v != v else v for v in row] for row in self.x.tolist()]
        rows[7][0] = 1e300  # beyond float32: the model refuses the row
        values = ",".join(cursor.mogrify("(%s,%s,%s,%s,%s)", [i, *row]).decode() for i, row in enumerate(rows))
        cursor.execute(f"INSERT INTO public.t VALUES {values}")
        add_graph(cursor, content)

    def proba(self) -> npt.NDArray[np.float64]:
        probabilities: npt.NDArray[np.float64] = self.model.predict_proba(self.x)
        probabilities[7] = np.nan
        return probabilities


def add_graph(cursor: Any, content: bytes) -> str:
    sha256 = hashlib.sha256(content).hexdigest()
    # As a deploy does; the graph is then run by score.m_v1_outputs, the next one by score.m_v2_outputs.
    cursor.execute(
        "SELECT pgscore.add_graph('m', pgscore.begin_version('m'), %s) = %s", (psycopg2.Binary(content), sha256)
    )
    assert cursor.fetchone() == (True,)
    return sha256


def connect(dsn: str, user: str = "") -> Any:
    connection = psycopg2.connect(dsn, **({"user": user} if user else {}))
    connection.autocommit = True
    return connection


def create_role(cursor: Any, definition: str) -> None:
    """Roles belong to the whole server: an earlier test may have made it."""
    cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", (definition.split(maxsplit=1)[0],))
    if not cursor.rowcount:
        cursor.execute(f"CREATE ROLE {definition}")


@pytest.fixture
def admin(with_plpython: str) -> Iterator[Any]:
    connection = connect(with_plpython)
    with connection.cursor() as cursor:
        yield cursor
    connection.close()


@pytest.fixture
def scorer(with_plpython: str, admin: Any) -> Iterator[Any]:
    """A session of a login role that is a member of pgscore_scorer and nothing else."""
    create_role(admin, f"{SCORER} LOGIN IN ROLE pgscore_scorer")
    connection = connect(with_plpython, SCORER)
    with connection.cursor() as cursor:
        yield cursor
    connection.close()


def values(cursor: Any, query: str) -> npt.NDArray[np.float64]:
    cursor.execute(query)
    return np.array([row[0] for row in cursor.fetchall()], dtype=np.float64)


def test_rows_one_by_one(admin: Any, scorer: Any) -> None:
    model = Model(admin)
    scorer.execute(f"SELECT score.m_v1_outputs({model.features}) FROM t ORDER BY id")
    rows = [row[0] for row in scorer.fetchall()]
    assert rows[7] is None
    rows[7] = [None] * len(rows[0])
    got = np.array(rows, dtype=np.float64)[:, model.first : model.first + 3]
    np.testing.assert_array_equal(got, model.proba())


def test_batches(admin: Any, scorer: Any) -> None:
    model = Model(admin)
    for column in range(3):
        got = values(
            scorer,
            f"""
            SELECT unnest(score.m_v1_outputs(
                array_agg({model.features} ORDER BY id), {model.first + column}))
            FROM t GROUP BY id / 1500 ORDER BY id / 1500
            """,
        )
        np.testing.assert_array_equal(got, model.proba()[:, column])


def test_threads_give_the_same_numbers(admin: Any, scorer: Any) -> None:
    model = Model(admin)
    scorer.execute("SET pgscore.onnx_threads = 2")
    batch = (
        f"SELECT unnest(score.m_v1_outputs(array_agg({model.features} ORDER BY n, id), {model.first}))"
        " FROM t, generate_series(1, 9) AS n"
    )
    for _ in range(2):
        np.testing.assert_array_equal(values(scorer, batch), np.tile(model.proba()[:, 0], 9))


@pytest.mark.parametrize("setting", ["0", "-1", "all", "1000"])
def test_what_is_no_number_of_threads(admin: Any, scorer: Any, setting: str) -> None:
    model = Model(admin)
    scorer.execute(f"SET pgscore.onnx_threads = '{setting}'")
    with pytest.raises(psycopg2.errors.InvalidParameterValue, match="onnx_threads is no number of threads"):
        scorer.execute(f"SELECT score.m_v1_outputs({model.features}) FROM t WHERE id = 1")


def test_a_batch_of_no_rows(admin: Any, scorer: Any) -> None:
    model = Model(admin)
    scorer.execute(f"SELECT score.m_v1_outputs(array_agg({model.features}), 0) FROM t WHERE id < 0")
    assert scorer.fetchone() == (None,)
    scorer.execute("SELECT score.m_v1_outputs('{}'::float8[], 0)")
    assert scorer.fetchone() == ([],)


def test_parallel_workers_load_the_graph_themselves(admin: Any, scorer: Any) -> None:
    model = Model(admin)
    admin.execute("ANALYZE t")
    scorer.execute("SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0")
    scorer.execute("SET max_parallel_workers_per_gather = 1")
    query = f"SELECT (score.m_v1_outputs({model.features}))[{model.first + 1}] FROM t WHERE id <> 7"
    scorer.execute(f"EXPLAIN {query}")
    assert "Gather" in scorer.fetchone()[0]
    want = np.delete(model.proba()[:, 0], 7)
    np.testing.assert_array_equal(np.sort(values(scorer, query)), np.sort(want))


def test_a_session_keeps_the_graph(admin: Any, scorer: Any) -> None:
    """Once loaded, a graph is served from the session's memory: content by hash cannot change."""
    model = Model(admin)
    query = f"SELECT score.m_v1_outputs({model.features}) FROM t WHERE id = 1"
    scorer.execute(query)
    before = scorer.fetchone()
    admin.execute("DELETE FROM pgscore.onnx_graphs")
    scorer.execute(query)
    assert scorer.fetchone() == before


def test_a_graph_added_in_the_same_transaction(admin: Any) -> None:
    """As a deploy does: the gate scores what the transaction has just inserted."""
    admin.execute("BEGIN")
    model = Model(admin)
    admin.execute(f"SELECT (score.m_v1_outputs({model.features})) IS NOT NULL FROM t WHERE id = 1")
    assert admin.fetchone() == (True,)
    admin.execute("ROLLBACK")


def test_errors_are_one_line_without_values(admin: Any, scorer: Any) -> None:
    Model(admin)
    add_graph(admin, b"not a model, although its hash is right")
    for call, message in (
        ("score.m_v2_outputs(ARRAY[1.0])", "pgscore.ScoringError: the graph is no ONNX model"),
        ("score.m_v1_outputs(ARRAY[98765.0])", "takes 4 features, got 1"),
        ("score.m_v1_outputs(ARRAY[98765.0], 0)", "features are no float8[][]"),
    ):
        with pytest.raises(psycopg2.Error, match=re.escape(message)) as caught:
            scorer.execute(f"SELECT {call}")
        assert "\n" not in caught.value.diag.message_primary
        assert "98765" not in str(caught.value)


def test_answers_are_arrays_as_postgresql_writes_them(admin: Any) -> None:
    """With as many elements as fill a byte of the bits that say which are NULL, and one more or less."""
    values = [0.1, -0.0, 5e-324, -1.7976931348623157e308, math.inf, -math.inf, 1e16, 1 / 3, 2.0**-30]
    for n in range(len(values) + 1):
        for missing in [(), *((i,) for i in range(n)), range(n)]:
            wanted = [None if i in missing else value for i, value in enumerate(values[:n])]
            sent = arrays.encode(np.array([math.nan if value is None else value for value in wanted]))
            text = "{" + ",".join("NULL" if value is None else repr(value) for value in wanted) + "}"
            admin.execute(
                "SELECT a, array_send(a) = array_send(t), pg_column_size(a) = pg_column_size(t)"
                " FROM pgscore.runtime_array(%s, 1) AS a, CAST(%s AS float8[]) AS t",
                [psycopg2.Binary(sent), text],
            )
            assert admin.fetchone() == (wanted, True, True)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT content FROM pgscore.onnx_graphs",
        "SELECT pgscore.runtime_load()",
        "SELECT pgscore.runtime_fetch('x')",
        "SELECT pgscore.runtime_add('x', 'x', 1, 1)",
        "SELECT pgscore.runtime_row('x', ARRAY[1.0])",
        "SELECT pgscore.runtime_batch('x', 'x', 0)",
        "SELECT pgscore.onnx_row('x', ARRAY[1.0])",
        "SELECT pgscore.runtime_bytes(ARRAY[1.0], 1)",
        "SELECT pgscore.runtime_array('x', 1)",
        "SELECT pgscore.onnx_batch('x', ARRAY[1.0], 0)",
        "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE plpython3u AS 'return 1'",
        "CREATE OR REPLACE FUNCTION pgscore.onnx_row(sha256 text, features float8[]) RETURNS float8[] RETURN NULL",
    ],
)
def test_a_scorer_may_only_score(admin: Any, scorer: Any, statement: str) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        scorer.execute(statement)


def test_a_role_that_is_no_scorer_may_nothing(admin: Any, with_plpython: str) -> None:
    create_role(admin, "nobody_here LOGIN")
    connection = connect(with_plpython, "nobody_here")
    with connection.cursor() as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
        cursor.execute("SELECT score.m_v1_outputs(ARRAY[1.0])")
    connection.close()


def test_the_owner_cannot_change_what_a_superuser_wrote(admin: Any) -> None:
    admin.execute("SET ROLE pgscore_owner")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        admin.execute(
            "CREATE OR REPLACE FUNCTION pgscore.runtime_load() RETURNS void LANGUAGE plpython3u AS 'import os'"
        )
    admin.execute("RESET ROLE")


def test_owner_rights_and_search_path(admin: Any) -> None:
    """No function is a superuser's, none may be called by PUBLIC, and those with the owner's rights pin their path."""
    admin.execute(
        """
        SELECT p.proname, r.rolname, r.rolsuper, p.prosecdef, p.proconfig, l.lanname,
               has_function_privilege('pgscore_scorer', p.oid, 'EXECUTE'),
               has_function_privilege('public', p.oid, 'EXECUTE')
        FROM pg_proc AS p JOIN pg_roles AS r ON r.oid = p.proowner JOIN pg_language AS l ON l.oid = p.prolang
        WHERE p.pronamespace = 'pgscore'::regnamespace AND (p.proname LIKE 'onnx%' OR p.proname LIKE 'runtime%')
        """
    )
    functions = admin.fetchall()
    assert {name for name, *_ in functions if name.startswith("onnx")} == {"onnx_row", "onnx_batch"}
    assert {row[0] for row in functions if row[6]} == {"runtime_info"}
    for name, owner, superuser, definer, config, language, _, public in functions:
        assert (owner, superuser, public) == ("pgscore_owner", False, False), name
        assert not definer, name
        if language == "plpgsql":
            assert config == ["search_path=pg_catalog, pg_temp"], name


def test_a_hostile_search_path_changes_nothing(admin: Any, scorer: Any) -> None:
    model = Model(admin)
    admin.execute(
        """
        CREATE SCHEMA trap; GRANT USAGE ON SCHEMA trap TO public;
        CREATE FUNCTION trap.cardinality(anyarray) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$;
        """
    )
    scorer.execute("SET search_path = trap, pg_catalog")
    scorer.execute(f"SELECT score.m_v1_outputs({model.features}) IS NULL FROM public.t WHERE id = 1")
    assert scorer.fetchone() == (False,)


def test_runtime_info(scorer: Any, runtime_folder: Path) -> None:
    scorer.execute("SELECT pgscore.runtime_info()")
    info = scorer.fetchone()[0]
    assert info["folder"] == str(runtime_folder)
    assert info["problem"] is None
    assert set(info["libraries"]) == {"numpy", "onnxruntime"}
    assert all(info["libraries"].values())


def test_without_the_libraries_the_message_says_what_to_do(admin: Any, scorer: Any, tmp_path: Path) -> None:
    model = Model(admin)
    for statement in plpython.statements(tmp_path / "it's \\ \"odd\" $pgscore$ ''' – absent"):
        admin.execute(statement.text)
    scorer.execute("SELECT pgscore.runtime_info()")
    info = scorer.fetchone()[0]
    assert info["folder"].endswith("$pgscore$ ''' – absent")
    assert info["libraries"] == {"numpy": None, "onnxruntime": None}
    assert "pgscore runtime install" in info["problem"]
    with pytest.raises(psycopg2.Error, match="on the server run: pgscore runtime install --target"):
        scorer.execute(f"SELECT score.m_v1_outputs({model.features}) FROM t")


def test_installing_again_serves_open_sessions(
    admin: Any, scorer: Any, with_plpython: str, runtime_folder: Path, tmp_path: Path
) -> None:
    """Another folder gives other functions: a session with the old modules loads the new ones."""
    model = Model(admin)
    query = f"SELECT score.m_v1_outputs({model.features}) FROM t WHERE id = 1"
    scorer.execute(query)
    before = scorer.fetchone()
    link = tmp_path / "runtime"
    link.symlink_to(runtime_folder)
    connection = connect(with_plpython)
    connection.autocommit = False
    install(connection, plpython=True, runtime=link)
    assert has_plpython(connection)
    connection.close()
    scorer.execute(query)
    assert scorer.fetchone() == before
    scorer.execute("SELECT pgscore.runtime_info()")
    assert scorer.fetchone()[0]["folder"] == str(link)


class TestStatements:
    def text(self, folder: str = "/opt/runtime") -> str:
        return "\n".join(statement.text for statement in plpython.statements(Path(folder)))

    def test_nothing_is_left_to_fill_in(self) -> None:
        assert not re.search(r"@[A-Z]+[^@\n]*@|\$body\$", self.text())

    def test_the_tested_modules_are_embedded_as_they_are(self) -> None:
        folder = Path(plpython.__file__).parent / "runtime"
        for name in plpython.MODULES:
            assert (folder / f"{name}.py").read_text() in self.text()
        assert {path.stem for path in folder.glob("*.py")} == {*plpython.MODULES, "__init__"}

    def test_a_folder_cannot_end_the_quotes(self) -> None:
        text = self.text("/opt/$pgscore$/$pgscore1$/$pgscore")
        assert "AS $pgscore2$\n" in text
        assert "AS $pgscore$\n" not in text

    def test_other_folders_give_other_digests(self) -> None:
        digests = [set(re.findall(r'"([0-9a-f]{16})"', self.text(folder))) for folder in ("/a", "/b")]
        assert len(digests[0]) == len(digests[1]) == 1
        assert digests[0] != digests[1]


def test_psql_takes_the_plan_too(with_plpython: str, runtime_folder: Path, admin: Any) -> None:
    """What `pgscore install --plpython --dry-run` prints is a script for psql."""
    admin.execute("DROP FUNCTION pgscore.onnx_row(text, double precision[])")
    done = subprocess.run(
        [DEBIAN / "bin/psql", "-X", "-q", with_plpython, "-f", "-"],
        input=as_script(plpython.statements(runtime_folder)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "ERROR" not in done.stderr
    assert done.returncode == 0
    admin.execute("SELECT has_function_privilege('public', 'pgscore.onnx_row(text, float8[])', 'EXECUTE')")
    assert admin.fetchone() == (False,)
