"""Model `churn` of the tiny customers in three versions that differ for every row; the first is live."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pgscore.procedures.deploy import deploy

from .databases import copied, template
from .servers import Server
from .tiny import FRAME, NUMBERS, classifier, make_customers, query

MODELS = [classifier(1.0), classifier(0.01), classifier(0.0001)]


@contextmanager
def three_versions(server: Server) -> Iterator[str]:
    """The DSN of a database with the three versions."""
    with copied(server, template(server, "pgscore_three_versions", _fill, template(server))) as dsn:
        yield dsn


def _fill(connection: Any) -> None:
    make_customers(connection)
    for model in MODELS:
        deploy(connection, model, name="churn", table="customers")


def answers(version: int) -> list[float]:
    """What version `version` says in Python."""
    probabilities: list[float] = MODELS[version - 1].estimator.predict_proba(FRAME[NUMBERS])[:, 1].tolist()
    return probabilities


def moving(connection: Any) -> list[float]:
    """What score.churn says of the customers, by id."""
    return [row[0] for row in query(connection, "SELECT score.churn(c) FROM public.customers c ORDER BY id")]
