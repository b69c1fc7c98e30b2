"""Commands about rows that a refresh job could not score."""

from __future__ import annotations

from . import output
from .command import Reply, Session
from .options import JobName
from .replies import plain, rows


def rejected(session: Session, job: JobName) -> Reply:
    """Show the keys that a job could not score, and why; 1000 at most. Exit code 1 when there are any."""
    from pgscore.procedures.rejected import rejected as read

    with session.connection() as connection:
        found = read(connection, job)
    header = {"key": "key", "reason": "reason", "run_id": "run", "since": "since"}
    return rows(header, found, f"{job} has scored every row", exit_code=1 if found else 0)


def retry(session: Session, job: JobName) -> Reply:
    """Score the rejected rows again: of an incremental job these and what is queued, of others every row."""
    from pgscore.procedures.rejected import retry as run

    from .refresh import summary

    with output.progress(f"refreshing {job}") as progress, session.connection() as connection:
        result = run(connection, job, progress)
    return Reply(plain(result), lambda console: console.print(summary(result)))
