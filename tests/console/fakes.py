"""A session whose parts answer from memory: the console's pages without an environment.

Only the edges are stand-ins; entities are the real ones.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from blueprints.errors import Problem
from blueprints.layers import Layer
from mlops.governance.audit import AuditLog
from mlops.monitoring.alerts import Alert
from mlops.monitoring.alerts.fatigue import Fatigue
from mlops.monitoring.alerts.silences import Silence
from mlops.monitoring.client import Change
from mlops.monitoring.distribution import Distribution
from mlops.serving.client import Deployment
from mlops.tracking.entities import DatasetInput, MetricPoint, ModelVersion, RegisteredModel, Run, RunPage
from stacks.engine.results import ResourceState
from stacks.status import ServiceState
from tests.console.watched import Watched
from tui.session import Session

NOW = datetime.now(UTC)
SINCE = (NOW - timedelta(days=3)).isoformat()


def run(number: int) -> Run:
    """The run of that number; greater numbers are newer and better."""
    return Run(
        id=f"{number:032x}",
        name=f"train-{number}",
        experiment_id="1",
        status="FAILED" if number % 5 == 0 else "FINISHED",
        start=NOW - timedelta(hours=100 - number),
        end=NOW - timedelta(hours=99 - number),
        user="ada",
        params={"depth": str(number % 3), "kind": "boosting"},
        metrics={"auc": 0.5 + number / 100},
        tags={},
        inputs=(DatasetInput("flights", "cb72762d", "local", "training"),),
    )


def alert(number: int, state: str = "firing") -> Alert:
    """An alert about a feature."""
    labels = ("calm", "storm")
    return Alert(
        id=number,
        kind="drift",
        severity="ticket",
        state=state,
        model="delay",
        version="1",
        feature=f"wind_{number}",
        statistic="chi2",
        value=0.3,
        threshold=0.1,
        p_value=1e-9,
        summary=f"wind_{number} differs from the reference by 0.3 (chi2)",
        first_seen=NOW,
        last_seen=NOW,
        window_start=NOW,
        window_end=NOW,
        window_rows=2000,
        reference=Distribution(labels, (0.9, 0.1)),
        current=Distribution(labels, (0.6, 0.4)),
    )


class FakeSession:
    """Answers from its lists; a name in ``down`` raises what a part that is down raises."""

    def __init__(self, folder: Path, runs: int = 12, alerts: int = 3, empty: bool = False) -> None:
        self.project = SimpleNamespace(name="flights", root=folder)
        self.environment_name = "prod"
        self.protected = True
        self.title = "flights/prod"
        self.down: set[str] = set()
        self.runs = [] if empty else [run(number) for number in range(runs)]
        self.alerts = [] if empty else [alert(number + 1) for number in range(alerts)]
        self.empty = empty
        self.served: tuple[Deployment, ...] | None = None
        self.acts: list[tuple[str, str, dict[str, Any]]] = []
        self.refusal = ""
        self.watched = Watched()
        self.silences: list[Silence] = []
        self.log = AuditLog(folder / "audit.jsonl")

    def as_session(self) -> Session:
        """Typed as the real one."""
        return cast("Session", self)

    def _check(self, part: str) -> None:
        if part in self.down:
            raise Problem(f"the {part} does not answer", todo=f"modelyard logs {part}")

    def spec(self) -> Any:
        return SimpleNamespace(protected=self.protected, serving=SimpleNamespace(strategy="rolling"))

    def environment(self, again: bool = False) -> Any:
        self._check("environment")
        return SimpleNamespace(protected=self.protected)

    def services(self) -> tuple[ServiceState, ...]:
        self._check("environment")
        return tuple(
            ServiceState(name, layer, title, "failed", False, f"{title} is not running: killed.")
            if name in self.down
            else ServiceState(name, layer, title, "running", True, "", 1, 60.0, 100.0)
            for name, layer, title in (
                ("tracking", Layer.TRACKING, "MLflow"),
                ("gateway", Layer.SERVING, "Gateway"),
                ("monitor", Layer.MONITORING, "Monitor"),
            )
        )

    def tracking(self) -> Any:
        self._check("tracking")
        version = (
            ModelVersion("delay", "1", self.runs[0].id, "READY", NOW, (), {}, "s3://m", "")
            if self.runs
            else None
        )
        return SimpleNamespace(
            runs=lambda page_size=1000, token="": RunPage(tuple(self.runs), ""),
            run=lambda run_id: next(each for each in self.runs if each.id == run_id),
            metric_history=lambda run_id, name: tuple(MetricPoint(i, NOW, i / 10) for i in range(10)),
            models=lambda: (RegisteredModel("delay", "", NOW, NOW, {"champion": "1"}),) if version else (),
            versions=lambda name: (version,),
        )

    def gateway(self) -> Any:
        self._check("gateway")
        row = Deployment(
            "delay", "1", "champion", "r1", "serving", "", SINCE, 30, 3000, 1, 12.5, 1.0, 2.0, 3.0, 0, 1
        )
        served = (row,) if self.served is None else self.served
        return SimpleNamespace(deployments=lambda: () if self.empty else served, act=self._act)

    def _act(self, model: str, action: str, **what: Any) -> Any:
        if self.refusal:
            raise Problem(self.refusal)
        self.acts.append((model, action, what))
        return next(each.desired for each in self.served or () if each.model == model)

    def monitor(self) -> Any:
        self._check("monitor")
        return SimpleNamespace(
            alerts=lambda state=None: tuple(a for a in self.alerts if state in (None, a.state)),
            firing=lambda: tuple(a for a in self.alerts if a.state == "firing" and not a.inhibited_by),
            acknowledge=self._acknowledge,
            changes=lambda number: (Change(NOW, "firing", "ticket", f"alert {number} fired"),),
            silences=lambda: tuple(self.silences),
            silence=self._silence,
            unsilence=lambda number, who: self.silences.clear(),
            fatigue=lambda: Fatigue(9, 1, 8, 0, 3.0, 5, 4, 1, 240.0),
            models=lambda: () if self.empty else self.watched.states,
            heat=lambda model, windows=60, segment="": self.watched.maps.get(segment, self.watched.heat),
            performance=lambda model, windows=200, segment="": self.watched.of(segment),
            series=lambda kind, limit=200: () if self.empty else self.watched.series[kind],
            timeline=lambda model: self.watched.events,
            pictures=lambda model, column="", blocks=1: self.watched.pictures(column),
        )

    def _silence(self, matchers: dict[str, str], hours: float, who: str, why: str) -> int:
        now = datetime.now(UTC)
        self.silences.append(Silence(7, matchers, now, now + timedelta(hours=hours), who, why))
        return 7

    def _acknowledge(self, number: int, who: str, why: str, useful: bool | None = None) -> Alert:
        self.alerts = [
            replace(a, state="acknowledged", acknowledged_by=who, why=why, useful=useful)
            if a.id == number
            else a
            for a in self.alerts
        ]
        return next(a for a in self.alerts if a.id == number)

    def audit(self) -> AuditLog:
        return self.log

    def record(self, action: str, *, target: str = "", source: str = "cli", **facts: Any) -> Any:
        return self.log.append(action, target, source=cast("Any", source), **facts)

    def engine(self) -> Any:
        rows = (
            ResourceState("urn:1", "component", "storage", Layer.STORAGE, "", "", (), (), NOW, NOW, False),
            ResourceState(
                "urn:2",
                "bucket",
                "artifacts",
                Layer.STORAGE,
                "urn:1",
                "b-1",
                (),
                (("secretKey", "[secret]"),),
                NOW,
                NOW,
                True,
            ),
        )
        return SimpleNamespace(resources=lambda: () if self.empty else rows)
