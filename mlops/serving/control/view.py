"""What this replica shows of its deployments."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from mlops.serving.control.desired import Desired
from mlops.serving.control.ports import Seen
from mlops.serving.control.routing import Routing
from mlops.serving.evidence import Evidence, Histogram
from mlops.serving.fleet import Fleet, Key
from mlops.serving.rollout.state import Deployment
from mlops.serving.rollout.weights import SHADOW, table
from mlops.serving.runtime.load import Facts
from mlops.serving.traffic import RATE_SECONDS, RECENT_SECONDS, Lane, Traffic

#: ``(rows not yet in the table, why when that is a fault)`` of a model.
Lag = Callable[[str], tuple[int, str]]
#: What the replica that judges saw of the present step of a rollout.
Look = Callable[[str, Deployment], Seen | None]


class View:
    """Rows of ``GET /v2/deployments``, as :class:`mlops.serving.client.GatewayClient` reads them."""

    def __init__(
        self,
        desired: Desired,
        fleet: Fleet,
        traffic: Traffic,
        routing: Routing,
        lag: Lag,
        look: Look,
        facts: Callable[[], Mapping[Key, Facts]],
    ) -> None:
        self._desired, self._fleet, self._traffic = desired, fleet, traffic
        self._routing, self._lag, self._look, self._facts = routing, lag, look, facts

    def rows(self) -> list[dict[str, Any]]:
        """One a model."""
        return [self._row(model, state) for model, state in sorted(self._desired.states.items())]

    def _row(self, model: str, state: Deployment) -> dict[str, Any]:
        arms = self._arms(model, state)
        lag, log_fault = self._lag(model)
        tag_fault = self._desired.faults.get(model, "")
        failed = next((f"version {arm['version']}: {arm['reason']}" for arm in arms if arm["reason"]), "")
        well = (model, state.champion or "") in self._fleet.loaded
        reason = self._routing.absent.get(model, "") or failed or tag_fault or log_fault
        runtime = self._fleet.loaded.get((model, state.champion or ""))
        seen = self._look(model, state)
        return {
            "model": model,
            "version": state.champion or (state.active.candidate if state.active else ""),
            "run_id": runtime.run_id if runtime else "",
            "since": _since(state),
            "state": ("degraded" if reason else "serving") if well else "failed" if reason else "loading",
            "reason": reason,
            "arms": arms,
            "desired": state.model_dump(mode="json", exclude_defaults=True),
            "log_lag_rows": lag,
            "step": None
            if seen is None
            else {
                "requests": seen.requests,
                "verdicts": [each.model_dump(mode="json", exclude_defaults=True) for each in seen.verdicts],
            },
        }

    def _arms(self, model: str, state: Deployment) -> list[dict[str, Any]]:
        dealt = table(state, time.time())
        arms = [(arm.name, arm.version, arm.weight) for arm in dealt.arms]
        if dealt.shadow:
            arms.append((SHADOW, dealt.shadow, 0.0))
        named = {version for _, version, _ in arms}
        rollout = state.active
        if rollout and rollout.candidate not in named:
            arms.append(("candidate", rollout.candidate, 0.0))
        counted = {(lane.arm, lane.version) for lane in self._traffic.lanes(model)}
        live = set(dealt.warm) | named
        more = sorted((arm, version, 0.0) for arm, version in counted if version in live)
        known = {(name, version) for name, version, _ in arms}
        return [self._arm(model, *arm) for arm in [*arms, *(each for each in more if each[:2] not in known)]]

    def _note(self, model: str, version: str) -> str:
        facts = self._facts().get((model, version))
        if facts is None:
            return ""
        parts = [f"not ONNX: {facts.why_not_onnx}" if facts.why_not_onnx else ""]
        parts.append(f"trusted: {', '.join(facts.trusted)}" if facts.trusted else "")
        parts.append(f"differs: {', '.join(facts.differs[:3])}" if facts.differs else "")
        return "; ".join(part for part in parts if part)

    def _arm(self, model: str, name: str, version: str, weight: float) -> dict[str, Any]:
        lane = Lane(model, version, name)
        total = self._traffic.evidence(lane) if lane in self._traffic.lanes(model) else Evidence()
        last, seconds = self._traffic.recent(lane, RATE_SECONDS)
        minute, _ = self._traffic.recent(lane, RECENT_SECONDS)
        runtime = self._fleet.loaded.get((model, version))
        fault = self._fleet.faults.get((model, version))
        shadow = self._routing.shadow(model) if name == SHADOW else None
        return {
            "name": name,
            "version": version,
            "weight": weight,
            "state": "serving" if runtime else "failed" if fault else "loading",
            "reason": fault.reason if fault and not runtime else "",
            "kind": runtime.kind if runtime else "",
            "note": self._note(model, version) if runtime else "",
            "requests": total.requests,
            "rows": total.rows,
            "errors": dict(total.errors),
            "rate_per_second": last.rows / seconds,
            **_percentiles(minute.latency),
            "dropped": shadow.dropped if shadow else 0,
            "difference": shadow.differences.quantile(1.0) if shadow else None,
        }


def _percentiles(latency: Histogram) -> Mapping[str, float | None]:
    found = {}
    for name, share in (("p50_ms", 0.5), ("p95_ms", 0.95), ("p99_ms", 0.99)):
        value = latency.quantile(share)
        found[name] = None if value is None else value * 1000
    return found


def _since(state: Deployment) -> str:
    """When the champion became it; empty: not known any more."""
    marker = f"version {state.champion} is the champion"
    at = next((each.at for each in reversed(state.events) if each.text.startswith(marker)), state.updated)
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds") if at else ""
