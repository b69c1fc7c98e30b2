"""The state of refresh jobs as OpenMetrics text (https://prometheus.io/docs/specs/om/open_metrics_spec/).

Only gauges and a counter: Prometheus' older text format, which node_exporter's textfile collector reads, knows neither
`info` nor `stateset`, and refuses a file with a type that it does not know. To it, # UNIT and # EOF are comments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import pgscore

if TYPE_CHECKING:
    from pgscore.procedures.freshness import RunCounts, RunRecord
    from pgscore.procedures.refresh import Freshness

STATES = ("fresh", "stale", "behind", "failed", "never run")


@dataclass
class _Family:
    """A metric with its samples; a counter's samples are called NAME_total."""

    name: str
    help: str
    unit: str = ""
    type: str = "gauge"
    lines: list[str] = field(default_factory=list)

    def add(self, value: float | timedelta | None, labels: Mapping[str, object]) -> None:
        """A sample, of a length of time in seconds; none where the value is not known."""
        if value is None:
            return
        number = value.total_seconds() if isinstance(value, timedelta) else float(value)
        name = self.name + ("_total" if self.type == "counter" else "")
        inner = ",".join(f'{label}="{_escaped(str(text))}"' for label, text in labels.items() if text is not None)
        self.lines.append(f"{name}{{{inner}}} {number!r}\n")

    def __str__(self) -> str:
        unit = f"# UNIT {self.name} {self.unit}\n" if self.unit else ""
        return f"# TYPE {self.name} {self.type}\n{unit}# HELP {self.name} {_escaped(self.help)}\n" + "".join(self.lines)


def text(jobs: Sequence[Freshness], last: Sequence[RunRecord], counts: Sequence[RunCounts]) -> str:
    """The exposition of these jobs, their last runs and the number of their runs; no timestamps."""
    about = _Family("pgscore_info", "The pgscore that printed this.")
    about.add(1, {"version": pgscore.__version__})
    families = [about, *_of_jobs(jobs), *_of_runs(jobs, last, counts)]
    return "".join(str(family) for family in families if family.lines) + "# EOF\n"


def _of_jobs(jobs: Sequence[Freshness]) -> list[_Family]:
    info = _Family("pgscore_job_info", "What the job scores, with which model, and where to; always 1.")
    state = _Family("pgscore_job_state", "1 for the state that the job is in, 0 for the others.")
    lag = _Family("pgscore_job_lag_seconds", "Age of the last good run, since it began.", "seconds")
    target = _Family("pgscore_job_target_lag_seconds", "How old the predictions may become.", "seconds")
    missed = _Family("pgscore_job_target_missed", "1 when the predictions are older than they may be, else 0.")
    every = _Family("pgscore_job_every_seconds", "How long after a run began the next is due.", "seconds")
    success = _Family("pgscore_job_last_run_success", "1 when the last run went well, 0 when it failed.")
    version = _Family("pgscore_job_version", "The version that the predictions are of.")
    current = _Family("pgscore_job_current_version", "The version that the job's alias points to.")
    rows = _Family("pgscore_job_rows", "Rows that the last good run scored.")
    refused = _Family("pgscore_job_refused_rows", "Rows without a score, which the model refused in that run.")
    for job in jobs:
        labels = {"job": job.job, "model": job.model}
        info.add(1, {**labels, "alias": job.alias, "source": job.source, "target": job.target, "mode": job.mode})
        for name in STATES:
            state.add(name == job.state, {**labels, "state": name})
        lag.add(job.age, labels)
        target.add(job.target_lag, labels)
        missed.add(job.target_missed, labels)
        every.add(job.every, labels)
        success.add(None if job.state == "never run" else job.state != "failed", labels)
        version.add(job.version, labels)
        current.add(job.current_version, labels)
        rows.add(job.rows, labels)
        refused.add(job.refused, labels)
    return [info, state, lag, target, missed, every, success, version, current, rows, refused]


def _of_runs(jobs: Sequence[Freshness], last: Sequence[RunRecord], counts: Sequence[RunCounts]) -> list[_Family]:
    models = {job.job: job.model for job in jobs}
    took = _Family("pgscore_job_last_duration_seconds", "How long the last run took that is written down.", "seconds")
    runs = _Family("pgscore_job_runs", "Runs since the job was created.", type="counter")
    for run in last:
        took.add(run.seconds, {"job": run.job, "model": models.get(run.job)})
    for count in counts:
        labels = {"job": count.job, "model": models.get(count.job)}
        runs.add(count.done, {**labels, "state": "done"})
        runs.add(count.failed, {**labels, "state": "failed"})
    return [took, runs]


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
