"""Sessions that score graphs put into the catalog by hand."""

from __future__ import annotations

import hashlib
from typing import Any

import psycopg2


def add_graph(cursor: Any, content: bytes) -> str:
    sha256 = hashlib.sha256(content).hexdigest()
    insert = "INSERT INTO pgscore.onnx_graphs VALUES (%s, %s) ON CONFLICT DO NOTHING"
    cursor.execute(insert, (sha256, psycopg2.Binary(content)))
    return sha256


def connect(dsn: str) -> Any:
    connection = psycopg2.connect(dsn)
    connection.autocommit = True
    return connection
