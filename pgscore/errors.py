"""Every error that pgscore raises on purpose.

One tree, so that `except PgscoreError` catches what a user can act on and nothing else. Each message says what
happened, to which model, step or column, and what to do next; none holds a value of a user's row. The class carries the
exit code of the command line (documented in docs/cli.md).
"""

from __future__ import annotations


class PgscoreError(Exception):
    """Base of every error raised on purpose. `exit_code` is what the CLI exits with."""

    exit_code: int = 2


class UsageError(PgscoreError):
    """Wrong usage or input: nothing was changed."""


class ModelFileError(UsageError):
    """The model file is missing, unreadable, not a model, or of an unknown format."""


class UntrustedModelError(UsageError):
    """The model file would run code or hold types that the user has not said to trust."""


class UnsupportedError(UsageError):
    """A step, or an option of it, that pgscore cannot compile exactly.

    Attributes: `step` (path within the model, such as `prep.num.scaler`), `reason`, and `way_forward`.
    """

    def __init__(self, step: str, reason: str, way_forward: str) -> None:
        super().__init__(f"step {step}: {reason}; {way_forward}")
        self.step = step
        self.reason = reason
        self.way_forward = way_forward


class SignatureError(UsageError):
    """The model's inputs do not fit the table: a column is missing or has the wrong type."""


class NotFoundError(UsageError):
    """A model, version, alias, job or table of that name does not exist."""


class InvalidNameError(UsageError):
    """A name that PostgreSQL or pgscore cannot take as an identifier."""


class RefusedError(PgscoreError):
    """The answer is no: the state of the database forbids it, and nothing was changed."""

    exit_code = 1


class ParityError(RefusedError):
    """The database's answers differ from the model's own; the deploy was rolled back."""


class ActionError(PgscoreError):
    """An action that pgscore.toml asks for failed, or would fail: the message says which, and what was done before it.

    The exit code is that of the error that it met.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class StaleError(RefusedError):
    """A freshness target is missed."""


class ServerError(PgscoreError):
    """The server is unreachable, refuses the login, or lacks something pgscore needs."""

    exit_code = 3


class NotInstalledError(ServerError):
    """pgscore (or its PL/Python part) is not installed in this database."""


class RightsError(ServerError):
    """The role lacks a right; the message names it."""
