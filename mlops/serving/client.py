"""The gateway as its clients see it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx

from blueprints.environment import ServingRef
from blueprints.errors import ExitCode, Problem
from mlops.serving.rollout.state import Deployment as Desired
from mlops.serving.rollout.state import Verdict


@dataclass(frozen=True)
class Arm:
    """One version of a model that gets traffic or copies of it, over all replicas.

    Attributes:
        name: ``champion``, ``canary``, ``challenger``, ``shadow``, ``flag``, ``previous``.
        weight: Share of the traffic, 0 to 1.
        state: ``serving``, ``loading`` or ``failed``; ``reason``: why it failed.
        kind: ``onnx``, ``native`` or ``isolated``; empty: not loaded. ``note``: why it is not ONNX, what of
            it was trusted.
        errors: Requests by class.
        rate_per_second: Rows a second, mean of the last 10 s.
        p50_ms, p95_ms, p99_ms: Latency inside the gateway, last minute, worst replica; None: no traffic.
        dropped: Requests that a shadow did not see because its queue was full.
        difference: Largest difference of a shadow's score to what was answered; None: not compared.
    """

    name: str
    version: str
    weight: float
    state: str
    reason: str
    kind: str
    requests: int
    rows: int
    errors: Mapping[str, int]
    rate_per_second: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    dropped: int = 0
    difference: float | None = None
    note: str = ""

    @property
    def failed(self) -> int:
        """Requests that failed, all classes together."""
        return sum(self.errors.values())


@dataclass(frozen=True)
class Deployment:
    """A model that is served, over all replicas.

    Attributes:
        version: The champion; empty: none yet.
        state: ``serving``, ``degraded`` (something of it is not well, and the champion answers), ``failed``.
        reason: A sentence when it is not well.
        arms: Everything that gets traffic or copies of it, the champion first.
        desired: The desired state: rollout, events, flags, shadow, freeze.
        rate_per_second, p50_ms, …: As those of an arm, over all arms that answer.
        log_lag_rows: Rows answered and not yet in the prediction log's table.
        verdicts: Of the gates of the rollout, as of the last look; those of ``desired`` change only when a
            judgement does. What is left of the last rollout when there is none.
        step_requests: Of the candidate since its step began; None: not known.
    """

    model: str
    version: str
    alias: str
    run_id: str
    state: str
    reason: str
    since: str
    requests: int
    rows: int
    errors: int
    rate_per_second: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    log_lag_rows: int
    replicas: int
    arms: tuple[Arm, ...] = ()
    desired: Desired = field(default_factory=Desired)
    verdicts: tuple[Verdict, ...] = ()
    step_requests: int | None = None


class GatewayClient:
    """Calls one gateway; safe to share between threads. Every method raises :class:`Problem` in words."""

    def __init__(self, ref: ServingRef, timeout: float = 60.0) -> None:
        self._ref = ref
        self._http = httpx.Client(
            timeout=timeout,
            headers={"Authorization": f"Bearer {ref.token.get_secret_value()}"},
            trust_env=False,
        )

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def _call(self, method: str, url: str, **options: Any) -> dict[str, Any]:
        try:
            response = self._http.request(method, url, **options)
        except httpx.TransportError:
            raise Problem(
                "the gateway does not answer",
                where=self._ref.url,
                todo="modelyard status; modelyard logs gateway",
                code=ExitCode.RETRY,
            ) from None
        if response.is_success:
            data: dict[str, Any] = response.json()
            return data
        try:
            message = str(response.json().get("error", ""))
        except ValueError:
            message = ""
        code = ExitCode.RETRY if response.status_code in (429, 503) else ExitCode.FAILED
        raise Problem(message or f"answer {response.status_code}", where=self._ref.url, code=code)

    def predict(
        self,
        model: str,
        rows: Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Any]],
        request_ids: Sequence[str] | None = None,
        event_times: Sequence[str] | None = None,
    ) -> list[Any]:
        """Outputs of the champion of ``model``, one a row.

        Args:
            rows: Records, or columns by name.
            request_ids: An id a row, by which labels join later.
            event_times: ISO 8601, when each row happened.
        """
        parameters = {"ids": list(request_ids or ()), "event_times": list(event_times or ())}
        form = {"inputs": rows} if isinstance(rows, Mapping) else {"dataframe_records": list(rows)}
        body = {**form, "parameters": parameters}
        predictions: list[Any] = self._call("POST", f"{self._ref.url}/models/{model}/invocations", json=body)[
            "predictions"
        ]
        return predictions

    def label(
        self,
        model: str,
        ids: Sequence[str],
        labels: Sequence[float],
        times: Sequence[str] | None = None,
        name: str = "label",
    ) -> int:
        """Send true labels by prediction id, or with another ``name`` the values of a business metric.

        Returns how many were taken.
        """
        body: dict[str, Any] = {"model": model, "ids": list(ids), "labels": list(labels), "name": name}
        body["times"] = list(times or ())
        return int(self._call("POST", f"{self._ref.url}/v2/labels", json=body)["accepted"])

    def deployments(self) -> tuple[Deployment, ...]:
        """Every served model, summed over the replicas that answer.

        Raises:
            Problem: No replica answers.
        """
        rows: dict[str, list[dict[str, Any]]] = {}
        for found in self._everywhere("/v2/deployments"):
            for row in found["deployments"]:
                rows.setdefault(row["model"], []).append(row)
        try:
            return tuple(_summed(each) for each in rows.values())
        except (KeyError, TypeError):
            raise Problem(
                "the gateway is of another release than this command",
                where=self._ref.url,
                todo="modelyard up, which restarts it",
            ) from None

    def deployment(self, model: str) -> Deployment:
        """One served model.

        Raises:
            Problem: It is not served, or no replica answers.
        """
        for each in self.deployments():
            if each.model == model:
                return each
        raise Problem(f"no model {model} is served", where=model, todo="modelyard deployments")

    def _everywhere(self, path: str) -> list[dict[str, Any]]:
        fault: Problem | None = None
        found = []
        for base in self._ref.replicas or (self._ref.url,):
            try:
                found.append(self._call("GET", f"{base}{path}", timeout=2.0))
            except Problem as problem:
                fault = problem
        if fault and not found:
            raise fault
        return found

    def act(self, model: str, action: str, **what: Any) -> Desired:
        """Change the desired state of a model: the first replica that answers does it and tells the others.

        Args:
            action: ``deploy``, ``pause``, ``resume``, ``promote``, ``rollback``, ``freeze``, ``unfreeze``,
                ``shadow``, ``flags``.
            what: ``by``, ``why`` and what the action takes.

        Raises:
            Problem: It is refused, in words; or no replica answers.
        """
        fault: Problem | None = None
        bases = self._ref.replicas or (self._ref.url,)
        path = f"/v2/deployments/{quote(model, safe='')}"
        for number, base in enumerate(bases):
            try:
                data = self._call("POST", f"{base}{path}/{action}", json=what)
            except Problem as problem:
                if problem.code is not ExitCode.RETRY:
                    raise
                fault = problem
                continue
            after = Desired.model_validate(data["desired"])
            if number:
                # Only the first knows the others; without it they would hear of it from the registry.
                self._hand_over(bases[number + 1 :], f"{path}/state", after)
            return after
        assert fault is not None
        raise fault

    def _hand_over(self, bases: Sequence[str], path: str, state: Desired) -> None:
        for base in bases:
            with contextlib.suppress(Problem):
                self._call("POST", f"{base}{path}", content=state.to_tag(), timeout=2.0)


def _summed(rows: list[dict[str, Any]]) -> Deployment:
    worst = next((row for row in rows if row["state"] != "serving"), rows[0])
    newest = max(rows, key=lambda row: int(row["desired"].get("revision", 0)))
    lanes: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        for arm in row["arms"]:
            lanes.setdefault((arm["name"], arm["version"]), []).append(arm)
    arms = tuple(_arm(each) for each in lanes.values())
    answering = [arm for arm in arms if arm.name != "shadow"]
    desired = Desired.model_validate(newest["desired"])
    # Only the replica that leads judges; another may have the newer state for a moment.
    step = next((row["step"] for row in rows if row.get("step") and _same_step(row, newest)), None)
    verdicts = tuple(Verdict.model_validate(each) for each in step["verdicts"]) if step else ()
    return Deployment(
        model=worst["model"],
        version=newest["version"],
        alias="champion",
        run_id=newest["run_id"],
        state=worst["state"],
        reason=worst["reason"],
        since=newest["since"],
        requests=sum(arm.requests for arm in answering),
        rows=sum(arm.rows for arm in answering),
        errors=sum(arm.failed for arm in answering),
        rate_per_second=sum(arm.rate_per_second for arm in answering),
        p50_ms=_worst([arm.p50_ms for arm in answering]),
        p95_ms=_worst([arm.p95_ms for arm in answering]),
        p99_ms=_worst([arm.p99_ms for arm in answering]),
        log_lag_rows=sum(int(row["log_lag_rows"]) for row in rows),
        replicas=len(rows),
        arms=arms,
        desired=desired,
        verdicts=verdicts or (desired.rollout.verdicts if desired.rollout else ()),
        step_requests=int(step["requests"]) if step else None,
    )


def _same_step(row: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    one, two = (each["desired"].get("rollout") or {} for each in (row, other))
    return all(one.get(key) == two.get(key) for key in ("id", "step", "since"))


def _arm(rows: list[dict[str, Any]]) -> Arm:
    worst = next((row for row in rows if row["state"] != "serving"), rows[0])
    errors: dict[str, int] = {}
    for row in rows:
        for reason, count in row["errors"].items():
            errors[reason] = errors.get(reason, 0) + int(count)
    return Arm(
        name=worst["name"],
        version=worst["version"],
        weight=worst["weight"],
        state=worst["state"],
        reason=worst["reason"],
        kind=worst["kind"],
        requests=sum(row["requests"] for row in rows),
        rows=sum(row["rows"] for row in rows),
        errors=errors,
        rate_per_second=sum(row["rate_per_second"] for row in rows),
        p50_ms=_worst([row["p50_ms"] for row in rows]),
        p95_ms=_worst([row["p95_ms"] for row in rows]),
        p99_ms=_worst([row["p99_ms"] for row in rows]),
        dropped=sum(row["dropped"] for row in rows),
        difference=_worst([row["difference"] for row in rows]),
        note=worst.get("note", ""),
    )


def _worst(values: Sequence[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)
