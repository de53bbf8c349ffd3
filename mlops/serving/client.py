"""The gateway as its clients see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from blueprints.environment import ServingRef
from blueprints.errors import ExitCode, Problem


@dataclass(frozen=True)
class Deployment:
    """A model that is served, over all replicas.

    Attributes:
        state: ``serving``, ``degraded`` (an older version serves while the newest cannot), ``failed``.
        reason: A sentence when it is not well.
        rate_per_second: Rows a second, mean of the last 10 s.
        p50_ms, p95_ms, p99_ms: Latency of a request inside the gateway, worst replica; None: no traffic.
        log_lag_rows: Rows answered and not yet in the prediction log's table.
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
        self, model: str, ids: Sequence[str], labels: Sequence[float], times: Sequence[str] | None = None
    ) -> int:
        """Send true labels by prediction id; returns how many were taken."""
        body = {"model": model, "ids": list(ids), "labels": list(labels), "times": list(times or ())}
        return int(self._call("POST", f"{self._ref.url}/v2/labels", json=body)["accepted"])

    def deployments(self) -> tuple[Deployment, ...]:
        """Every served model, summed over the replicas that answer.

        Raises:
            Problem: No replica answers.
        """
        rows: dict[str, list[dict[str, Any]]] = {}
        fault: Problem | None = None
        answered = 0
        for base in self._ref.replicas or (self._ref.url,):
            try:
                found = self._call("GET", f"{base}/v2/deployments", timeout=2.0)
            except Problem as problem:
                fault = problem
                continue
            answered += 1
            for row in found["deployments"]:
                rows.setdefault(row["model"], []).append(row)
        if fault and not answered:
            raise fault
        return tuple(_summed(each) for each in rows.values())


def _summed(rows: list[dict[str, Any]]) -> Deployment:
    worst = next((row for row in rows if row["state"] != "serving"), rows[0])

    def total(key: str) -> float:
        return float(sum(row.get(key, 0) for row in rows))

    def slowest(key: str) -> float | None:
        values = [row[key] for row in rows if row.get(key, -1) >= 0]
        return max(values) if values else None

    return Deployment(
        model=worst["model"],
        version=worst["version"],
        alias=worst["alias"],
        run_id=worst["run_id"],
        state=worst["state"],
        reason=worst["reason"],
        since=worst["since"],
        requests=int(total("requests")),
        rows=int(total("rows")),
        errors=int(total("errors")),
        rate_per_second=total("rate_per_second"),
        p50_ms=slowest("p50_ms"),
        p95_ms=slowest("p95_ms"),
        p99_ms=slowest("p99_ms"),
        log_lag_rows=int(total("log_lag_rows")),
        replicas=len(rows),
    )
