"""Trained models inside PostgreSQL: compile a scikit-learn model to SQL or ONNX; the database scores its own rows.

    import pgscore

    connection = pgscore.connect("postgresql:///shop")
    pgscore.install(connection)
    model = pgscore.load_model("churn.skops")
    pgscore.deploy(connection, model, name="churn", table="customers")

Each name below is imported when it is first used, so that `import pgscore` and `pgscore --help` stay quick:
scikit-learn alone takes more than a second.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pgscore.compiler.artifact import Artifact as Artifact
    from pgscore.compiler.artifact import Strategy as Strategy
    from pgscore.compiler.build import build as build
    from pgscore.compiler.build import default_parameters as default_parameters
    from pgscore.compiler.factorisation import Factorisation as Factorisation
    from pgscore.compiler.frontends import to_program as to_program
    from pgscore.compiler.load import LoadedModel as LoadedModel
    from pgscore.compiler.load import load_model as load_model
    from pgscore.errors import PgscoreError as PgscoreError
    from pgscore.procedures.calibrate import calibrate as calibrate
    from pgscore.procedures.challenger import comparisons as comparisons
    from pgscore.procedures.challenger import set_challenger as set_challenger
    from pgscore.procedures.connection import connect as connect
    from pgscore.procedures.deploy import Deployment as Deployment
    from pgscore.procedures.deploy import deploy as deploy
    from pgscore.procedures.export import Export as Export
    from pgscore.procedures.export import export as export
    from pgscore.procedures.install import install as install
    from pgscore.procedures.install import upgrade as upgrade
    from pgscore.procedures.lifecycle import drop as drop
    from pgscore.procedures.lifecycle import history as history
    from pgscore.procedures.lifecycle import list_models as list_models
    from pgscore.procedures.lifecycle import promote as promote
    from pgscore.procedures.lifecycle import rollback as rollback
    from pgscore.procedures.lifecycle import show as show
    from pgscore.procedures.plan import Change as Change
    from pgscore.procedures.project import Project as Project
    from pgscore.procedures.project import read_project as read_project
    from pgscore.procedures.project_apply import apply_project as apply_project
    from pgscore.procedures.project_plan import plan_project as plan_project
    from pgscore.procedures.refresh import create_job as create_job
    from pgscore.procedures.refresh import drop_job as drop_job
    from pgscore.procedures.refresh import list_jobs as list_jobs
    from pgscore.procedures.refresh import run_job as run_job
    from pgscore.procedures.refresh import status as status
    from pgscore.procedures.uninstall import uninstall as uninstall
    from pgscore.procedures.verify import ParityReport as ParityReport
    from pgscore.procedures.verify import verify as verify

_HOME = {
    "Artifact": "compiler.artifact",
    "Change": "procedures.plan",
    "Deployment": "procedures.deploy",
    "Export": "procedures.export",
    "Factorisation": "compiler.factorisation",
    "LoadedModel": "compiler.load",
    "ParityReport": "procedures.verify",
    "PgscoreError": "errors",
    "Project": "procedures.project",
    "Strategy": "compiler.artifact",
    "apply_project": "procedures.project_apply",
    "build": "compiler.build",
    "calibrate": "procedures.calibrate",
    "comparisons": "procedures.challenger",
    "connect": "procedures.connection",
    "create_job": "procedures.refresh",
    "default_parameters": "compiler.build",
    "deploy": "procedures.deploy",
    "drop": "procedures.lifecycle",
    "drop_job": "procedures.refresh",
    "export": "procedures.export",
    "history": "procedures.lifecycle",
    "install": "procedures.install",
    "list_jobs": "procedures.refresh",
    "list_models": "procedures.lifecycle",
    "load_model": "compiler.load",
    "plan_project": "procedures.project_plan",
    "promote": "procedures.lifecycle",
    "read_project": "procedures.project",
    "rollback": "procedures.lifecycle",
    "run_job": "procedures.refresh",
    "set_challenger": "procedures.challenger",
    "show": "procedures.lifecycle",
    "status": "procedures.refresh",
    "to_program": "compiler.frontends",
    "uninstall": "procedures.uninstall",
    "upgrade": "procedures.install",
    "verify": "procedures.verify",
}

__all__ = sorted([*_HOME, "__version__"])  # noqa: PLE0605 (a list of str, made from the one table of names)


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("pgscore")
    if name in _HOME:
        return getattr(importlib.import_module(f"pgscore.{_HOME[name]}"), name)
    raise AttributeError(f"module 'pgscore' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
