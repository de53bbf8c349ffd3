"""Rollouts as alerts: what the gateway did by itself with a version becomes an observation of the store."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from blueprints.errors import UsageProblem
from mlops.monitoring.alerts import Alert, Observation
from mlops.monitoring.distribution import Distribution

KIND = "rollout"
_LONGEST = 500


@dataclass(frozen=True)
class RolloutReport:
    """What became of a version that was rolled out.

    Attributes:
        bad: It was rolled back or stopped; else it became champion, which ends the model's rollout alerts.
        severity: ``page`` or ``ticket``.
        metric: What failed: the gate's name.
        summary: One sentence.
    """

    model: str
    version: str
    bad: bool
    severity: str
    metric: str
    summary: str


def reported(body: Any) -> RolloutReport:
    """The report in a request: ``{"kind": "rollout", model, version, bad, severity, metric, summary}``.

    Raises:
        UsageProblem: It is no such document.
    """
    texts = ("model", "version", "severity", "metric", "summary")
    fits = (
        isinstance(body, dict)
        and set(body) == {"kind", "bad", *texts}
        and all(isinstance(body[name], str) and 0 < len(body[name]) <= _LONGEST for name in texts)
        and body["severity"] in ("page", "ticket")
        and isinstance(body["bad"], bool)
    )
    if not fits:
        raise UsageProblem(
            f"expected {', '.join(texts)} as text of at most {_LONGEST} characters and bad, true or false",
            where="observations",
        )
    return RolloutReport(**{name: body[name] for name in (*texts, "bad")})


def observations(report: RolloutReport, open_alerts: Iterable[Alert]) -> list[Observation]:
    """A failed rollout fires. A version that became champion is well (which opens a silence for
    drift), and so is all that fired before it for the model: whatever failed is no longer what anybody
    waits for."""
    if report.bad:
        return [_observation(report.model, report.version, report.metric, report, True)]
    return [_observation(report.model, report.version, report.metric, report, False)] + [
        _observation(alert.model, alert.version, alert.feature, report, False)
        for alert in open_alerts
        if alert.kind == KIND and alert.model == report.model and alert.state != "resolved"
    ]


def _observation(model: str, version: str, metric: str, report: RolloutReport, bad: bool) -> Observation:
    nothing = Distribution((), ())
    return Observation(
        kind=KIND,
        severity=report.severity,
        model=model,
        version=version,
        feature=metric,
        statistic="failed",
        value=float(bad),
        threshold=1.0,
        p_value=0.0,
        bad=bad,
        summary=report.summary,
        window_start=None,
        window_end=None,
        window_rows=0,
        reference=nothing,
        current=nothing,
    )
