"""What is measured of a model: a case for each way to score its rows, as small objects that the measuring calls.

`Query` is a way that is SQL, `Job` one that fills a table; peers.py has those that are not pgscore's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pgscore.compiler.artifact import Artifact, Strategy
from pgscore.compiler.backends.onnx_session import session
from pgscore.compiler.build import build, default_parameters
from pgscore.compiler.frontends import to_program
from pgscore.procedures.connection import connect
from pgscore.procedures.deploy import deploy
from pgscore.procedures.lifecycle import promote
from pgscore.procedures.refresh import create_job, list_jobs, run_job
from tests.support.tiny import loaded

from .models import Subject
from .servers import Place

BATCH = 10_000
VERSIONS = (1, 2)
"""Of one model: a promote from one to the other changes every row of a target."""
TOLERANCE = 1e-9
"""What pgscore's own gate allows; a case that differs by more gives another answer."""


@dataclass(frozen=True)
class Query:
    """Scoring as SQL: `select(table)` gives id and score of each row; "" where it gives none.

    `total(table)` is what is timed. With `single`, one row can be asked for by its key. `functions` are the names of
    what stands in the catalog for it, as a pattern of LIKE. A case that is not `exact` comes close only.
    """

    name: str
    select: Callable[[str], str]
    total: Callable[[str], str]
    single: bool = True
    functions: str = ""
    exact: bool = True


@dataclass(frozen=True)
class Job:
    """Filling a table with id and score of each row: `run(table)` gives the table, and is timed.

    `prepare` comes before each run, and the table `target(table)` is read for the check.
    """

    name: str
    run: Callable[[str], None]
    target: Callable[[str], str]
    prepare: Callable[[str], None]
    exact: bool = True


@dataclass(frozen=True)
class Loop:
    """Scoring outside the server: `run()` scores the first n rows, which stand in memory, and gives the scores."""

    name: str
    run: Callable[[], Any]
    n_rows: int


Case = Query | Job | Loop


def query(name: str, select: Callable[[str], str], **more: Any) -> Query:
    """A case that is timed by the sum of its scores."""
    return Query(name, select, lambda table: f"SELECT sum(score) FROM ({select(table)}) AS q", **more)  # noqa: S608


def scan(subject: Subject) -> Query:
    """The limit: reading the same columns."""

    def value(name: str) -> str:
        return f"length({name})" if subject.data.x[name].dtype == object else name

    columns = ", ".join(subject.columns)
    total = " + ".join(value(name) for name in subject.columns)
    return Query(
        "scan",
        lambda table: f"SELECT id, {columns} FROM {table}",  # noqa: S608
        lambda table: f"SELECT sum({total}) FROM {table}",  # noqa: S608
    )


def ours(place: Place, subject: Subject) -> list[Case]:
    """pgscore: in SQL or plpgsql, and where there is PL/Python also in ONNX."""
    return [*without_onnx(place, subject), *(with_onnx(place, subject) if place.plpython else [])]


def without_onnx(place: Place, subject: Subject) -> list[Case]:
    """What `auto` takes where there is no PL/Python."""
    program = to_program(subject.model)
    available = frozenset({Strategy.SQL, Strategy.PLPGSQL})
    strategy = build(program, default_parameters(program), available=available).strategy
    name = f"{subject.slug}_{strategy.value}"
    _deployed(place, subject, name, strategy)
    return [_by_row(subject, strategy, name), _refresh(place, strategy, name)]


def with_onnx(place: Place, subject: Subject) -> list[Case]:
    """Row by row, in batches, and without PostgreSQL; refreshed by one connection and by two."""
    name = f"{subject.slug}_onnx"
    artifact = _deployed(place, subject, name, Strategy.ONNX)
    features = f"score.{name}_v1_features({_passed(subject)})"
    (output,) = artifact.functions[0].outputs
    return [
        _by_row(subject, Strategy.ONNX, name),
        _batches(f"score.{name}_v1_outputs", features, output),
        _alone(place, subject, artifact, features, output),
        _refresh(place, Strategy.ONNX, name),
        _refresh(place, Strategy.ONNX, name, jobs=2),
    ]


def _deployed(place: Place, subject: Subject, name: str, strategy: Strategy) -> Artifact:
    with contextlib.closing(place.connect()) as connection:
        for _ in VERSIONS:
            done = deploy(connection, loaded(subject.model), name=name, table=subject.data.name, strategy=strategy)
    return done.artifact


def _passed(subject: Subject) -> str:
    """The columns by name, not the row: the parts of the table have row types of their own."""
    return ", ".join(f"{column} => t.{column}" for column in subject.columns)


def _by_row(subject: Subject, strategy: Strategy, name: str) -> Query:
    call = f"score.{name}_v1({_passed(subject)})"
    return query(
        f"pgscore {strategy.value}",
        lambda table: f"SELECT id, {call} AS score FROM {table} AS t",  # noqa: S608
        functions=f"{name}_v1%",
    )


def _batches(function: str, features: str, output: int) -> Query:
    """The graph for one stretch of pages after the other, as a refresh calls it."""

    def stretches(table: str, what: str) -> str:
        return f"""
            FROM pg_relation_size('{table}') AS size
            CROSS JOIN LATERAL (
                SELECT greatest(1, {BATCH} * size / 8192 / greatest(1, c.reltuples::bigint)) AS step
                FROM pg_class AS c WHERE c.oid = '{table}'::regclass
            ) AS s
            CROSS JOIN LATERAL generate_series(0, size / 8192 - 1, s.step) AS page
            CROSS JOIN LATERAL (
                SELECT {what}{function}(array_agg({features}), {output}) AS scores
                FROM {table} AS t
                WHERE t.ctid >= format('(%s,0)', page)::tid AND t.ctid < format('(%s,0)', page + s.step)::tid
                HAVING count(*) > 0
            ) AS b
        """  # noqa: S608

    return Query(
        "pgscore onnx, batches",
        lambda table: (
            f"SELECT u.id, u.score {stretches(table, 'array_agg(t.id) AS ids, ')}"
            " CROSS JOIN LATERAL unnest(b.ids, b.scores) AS u (id, score)"
        ),
        lambda table: f"SELECT sum(u) {stretches(table, '')} CROSS JOIN LATERAL unnest(b.scores) AS u",
        single=False,
    )


def _alone(place: Place, subject: Subject, artifact: Artifact, features: str, output: int) -> Loop:
    """onnxruntime on an array that is there already, as the runtime calls it: one thread, as many rows at once."""
    table = list(subject.data.tables)[-2]
    with contextlib.closing(place.connect()) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT {features} FROM {table} AS t ORDER BY id")  # noqa: S608
        rows = np.array([row for (row,) in cursor.fetchall()], dtype=float)
    running = session(artifact.onnx.content)

    def run() -> Any:
        parts = [rows[at : at + BATCH] for at in range(0, len(rows), BATCH)]
        return np.concatenate([running.run(None, {"features": part})[0][:, output] for part in parts])

    return Loop("onnxruntime alone", run, len(rows))


def _refresh(place: Place, strategy: Strategy, name: str, *, jobs: int = 1) -> Job:
    """A refresh after a promote: every row of the target changes."""

    def target(table: str) -> str:
        return f"{name}_by_{jobs}_of_{table}"

    def prepare(table: str) -> None:
        with contextlib.closing(place.connect()) as connection:
            if target(table) not in {job.job for job in list_jobs(connection)}:
                create_job(
                    connection, target(table), model=name, source=table, keys=["id"], target=f"public.{target(table)}"
                )
                run_job(connection, target(table))
            (live,) = {row.version for row in list_jobs(connection) if row.job == target(table)}
            promote(connection, name, next(version for version in VERSIONS if version != live))
        place.alone(f"VACUUM ANALYZE {target(table)}")

    def run(table: str) -> None:
        # The best ETL has all cores, too.
        with contextlib.closing(connect(place.dsn)) as connection:
            run_job(connection, target(table), jobs=jobs)

    option = f" --jobs {jobs}" if jobs > 1 else ""
    return Job(f"pgscore {strategy.value}, refresh{option}", run, target, prepare)
