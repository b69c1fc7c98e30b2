"""How long the server takes for a query, by its own clock: no network, no client."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any, NamedTuple

from pgscore.compiler.artifact import ONE_ROW, Artifact, Strategy, Use
from pgscore.quoting import ident

from .answers import WHOLE_ROW
from .connection import Connection, autocommit, errors
from .functions import FEATURES, OUTPUTS, SCHEMA, function_name

ROUNDS = 5
ROWS = 10_000
BUDGET = 100_000.0
"""Microseconds that the rows of one query should take."""


class Taken(NamedTuple):
    """Microseconds to plan and run a query, and the rows that it gave."""

    microseconds: float
    rows: int


def timed(cursor: Any, query: str) -> Taken:
    """Plans and runs it; its rows are computed and go nowhere."""
    cursor.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {query}")
    (found,) = cursor.fetchone()[0]
    return Taken(1000.0 * (found["Planning Time"] + found["Execution Time"]), int(found["Plan"]["Actual Rows"]))


def batch_query(outputs: str, output: int, features: str) -> str:
    """The query that runs a graph as a refresh does (sql/33_scoring.sql): in one call, its answers beside the keys.

    `outputs` is the function that runs it, `features` a query that gives the inputs as f.
    """
    batch = f"SELECT array_agg(ROW(1)) AS keys, {outputs}(array_agg(s.f), {output}) AS answers FROM ({features}) AS s"  # noqa: S608
    rows = "ROWS FROM (unnest(b.keys) AS (key integer), unnest(b.answers)) AS s (key, score)"
    return f"SELECT s.key, s.score FROM ({batch}) AS b CROSS JOIN LATERAL {rows}"  # noqa: S608


def measured(connection: Connection, name: str, version: int, table: str, artifact: Artifact) -> Mapping[Use, float]:
    """What each use of a version takes over rows of its table: microseconds a row, and for a statement about one row.

    The reading of the row is taken off. Medians of some rounds, after one that loads what the session lacks; each query
    is a transaction of its own, as plpgsql starts anew in each. Nothing for a table without two rows, nor for a
    recommender. Commits the transaction that is open. Raises ServerError and its kin.
    """
    if not artifact.uses:
        return {}
    row = artifact.estimates[Use.QUERY][artifact.strategy].row
    limit = round(min(ROWS, max(2.0, BUDGET / row)))

    def call(suffix: str, arguments: str = WHOLE_ROW) -> str:
        return f"{ident(SCHEMA, function_name(name, version, suffix))}({arguments})"

    def over(expression: str, rows: int) -> str:
        return f"SELECT {expression} FROM {table} AS r LIMIT {rows}"  # noqa: S608 - all names are quoted

    has_one = any(function.suffix == ONE_ROW for function in artifact.functions)
    queries = [over(WHOLE_ROW, 1), over(WHOLE_ROW, limit), over(call(""), 1), over(call(""), limit)]
    queries.append(over(call(ONE_ROW if has_one else ""), 1))
    outputs = artifact.functions[0].outputs
    if artifact.uses[Use.REFRESH] is Strategy.ONNX and len(outputs) == 1:
        # The runtime keeps the answers of the last batch: another one comes in between.
        run = ident(SCHEMA, function_name(name, version, OUTPUTS))
        queries += [batch_query(run, outputs[0], over(f"{call(FEATURES)} AS f", rows)) for rows in (1, ROWS)]
    with errors(), autocommit(connection) as cursor:
        cursor.execute(f"SELECT current_setting('jit'), count(*) FROM (SELECT FROM {table} LIMIT {ROWS}) AS s")  # noqa: S608
        jit, n_rows = cursor.fetchone()
        if n_rows < 2:
            return {}
        cursor.execute("SET jit = off")
        try:
            rounds = [[timed(cursor, query) for query in queries] for _ in range(ROUNDS + 1)]
        finally:
            cursor.execute("SELECT set_config('jit', %s, false)", (jit,))
    column_one, columns, one, many, alone, *batches = (
        median(t.microseconds for t in of) for of in zip(*rounds[1:], strict=True)
    )
    n = rounds[0][1].rows - 1
    reading = (columns - column_one) / n
    found = {Use.QUERY: (many - one) / n - reading, Use.ONE: alone - column_one}
    found[Use.REFRESH] = batches[-1] / n_rows - reading if batches else found[Use.QUERY]
    return {use: max(0.0, found[use]) for use in Use}
