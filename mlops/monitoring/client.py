"""The monitor as its clients see it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from blueprints.environment import MonitoringRef
from blueprints.errors import ExitCode, Problem
from mlops.monitoring.alerts import Alert
from mlops.monitoring.alerts.fatigue import Fatigue
from mlops.monitoring.alerts.silences import Silence
from mlops.monitoring.answers import Event, Heat, Picture, Point, Series, Span, State
from mlops.monitoring.distribution import Distribution
from mlops.monitoring.infrastructure import Reported
from mlops.monitoring.rollouts import KIND, RolloutReport


@dataclass(frozen=True)
class Window:
    """One compared window of a model: when, how many rows, which features drifted."""

    version: str
    start: datetime | None
    end: datetime | None
    rows: int
    drifted: tuple[str, ...]


@dataclass(frozen=True)
class Change:
    """One change of an alert."""

    at: datetime
    state: str
    severity: str
    words: str


class MonitorClient:
    """Calls one monitor; safe to share between threads. Every method raises :class:`Problem` in words."""

    def __init__(self, ref: MonitoringRef, timeout: float = 5.0) -> None:
        self._url = ref.url
        self._http = httpx.Client(
            base_url=ref.url,
            timeout=timeout,
            headers={"Authorization": f"Bearer {ref.token.get_secret_value()}"},
            trust_env=False,
        )

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def _call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        try:
            response = self._http.request(method, path, **options)
        except httpx.TransportError:
            raise Problem(
                "the monitor does not answer",
                where=self._url,
                todo="modelyard status; modelyard logs monitor",
                code=ExitCode.RETRY,
            ) from None
        try:
            data: dict[str, Any] = response.json()
        except ValueError:
            data = {"error": f"answer {response.status_code}, which is not the monitor's"}
        else:
            if response.is_success:
                return data
        code = ExitCode.RETRY if response.status_code >= 500 else ExitCode.FAILED
        words = str(data.get("error", f"answer {response.status_code}"))
        raise Problem(words, where=f"{self._url}{path}", code=code)

    def faults(self) -> dict[str, str]:
        """What the monitor cannot watch just now, and why."""
        return dict(self._call("GET", "/health")["faults"])

    def alerts(self, state: str | None = None) -> tuple[Alert, ...]:
        """Alerts, pages first; all states unless one is named."""
        data = self._call("GET", "/alerts", params={"state": state} if state else None)
        return tuple(_alert(row) for row in data["alerts"])

    def firing(self) -> tuple[Alert, ...]:
        """Alerts that fire and that no other one explains, pages first."""
        return tuple(each for each in self.alerts("firing") if not each.inhibited_by)

    def alert(self, number: int) -> Alert:
        """One alert."""
        return _alert(self._call("GET", f"/alerts/{number}"))

    def acknowledge(self, number: int, who: str, why: str, useful: bool | None = None) -> Alert:
        """Mark an alert as seen, useful or not; the monitor records it in the audit log."""
        body = {"who": who, "why": why, "useful": useful}
        return _alert(self._call("POST", f"/alerts/{number}/acknowledge", json=body))

    def changes(self, number: int) -> tuple[Change, ...]:
        """What became of an alert, oldest first."""
        rows = self._call("GET", f"/alerts/{number}/history")["changes"]
        return tuple(
            Change(datetime.fromisoformat(r["at"]), r["state"], r["severity"], r["words"]) for r in rows
        )

    def silences(self) -> tuple[Silence, ...]:
        """Silences, newest first, those that are over too."""
        return tuple(_silence(row) for row in self._call("GET", "/silences")["silences"])

    def silence(self, matchers: Mapping[str, str], hours: float, who: str, why: str) -> int:
        """Hold back alerts that fit every matcher; the silence's number."""
        body = {"matchers": dict(matchers), "hours": hours, "who": who, "why": why}
        return int(self._call("POST", "/silences", json=body)["id"])

    def unsilence(self, number: int, who: str) -> None:
        """End a silence now."""
        self._call("DELETE", f"/silences/{number}", params={"who": who})

    def test_route(self, name: str) -> str:
        """Send a trial on a route, and its end; why it was refused, empty: it was taken."""
        return str(self._call("POST", f"/routes/{name}/test", timeout=60.0)["why"])

    def fatigue(self, days: int = 30) -> Fatigue:
        """How much was heard in the last days, and how much of it was useful."""
        return Fatigue(**self._call("GET", "/fatigue", params={"days": days}))

    def history(self, days: int = 30) -> Iterator[dict[str, Any]]:
        """Analysed windows with their findings, oldest first
        (:func:`mlops.monitoring.alerts.history.past` reads them)."""
        after = 0
        while rows := self._call("GET", "/history", params={"days": days, "after": after})["windows"]:
            yield from rows
            after = rows[-1]["id"]

    def findings(self, model: str, windows: int = 20) -> tuple[dict[str, Any], ...]:
        """Findings of the newest windows of a model, oldest first, as plain data."""
        return tuple(self._call("GET", f"/findings/{model}", params={"windows": windows})["findings"])

    def models(self) -> tuple[State, ...]:
        """How the watch of each model goes, by name."""
        rows = self._call("GET", "/models")["models"]
        return tuple(State(**{**row, "segments": tuple(row["segments"])}) for row in rows)

    def heat(self, model: str, windows: int = 60, segment: str = "") -> Heat:
        """Features by the newest windows: how far each was from its reference."""
        data = self._call("GET", f"/heat/{model}", params={"windows": windows, "segment": segment})
        spans = (Span(w["version"], _time(w["start"]), _time(w["end"]), w["rows"]) for w in data["windows"])
        return Heat(
            tuple(spans),
            tuple(data["columns"]),
            tuple(tuple(row) for row in data["levels"]),
            tuple(tuple(row) for row in data["tests"]),
        )

    def pictures(self, model: str, column: str = "", blocks: int = 1) -> tuple[Picture, ...]:
        """One column, or each, in the newest blocks against the reference."""
        asked = {"column": column, "blocks": blocks}
        return tuple(
            Picture(
                row["column"], row["family"], row["effect"],
                _distribution(row["reference"]), _distribution(row["current"]),
            )
            for row in self._call("GET", f"/profile/{model}", params=asked)["pictures"]
        )  # fmt: skip

    def performance(self, model: str, windows: int = 200, segment: str = "") -> tuple[Point, ...]:
        """The series of quality of the newest windows, of all rows or of a segment, oldest first."""
        rows = self._call("GET", f"/performance/{model}", params={"limit": windows, "segment": segment})[
            "performance"
        ]
        return tuple(Point(**{**row, "start": _time(row["start"]), "end": _time(row["end"])}) for row in rows)

    def series(self, kind: str, limit: int = 200) -> tuple[Series, ...]:
        """Every series of a kind, ``kpi`` or ``resource``, by name, with its newest points."""
        rows = self._call("GET", f"/series/{kind}", params={"limit": limit})["series"]
        found: dict[tuple[str, str], list[Point]] = {}
        units: dict[str, str] = {}
        for row in rows:
            model, unit = row.pop("model"), row.pop("unit")
            point = Point(**{**row, "start": _time(row["start"]), "end": _time(row["end"])})
            found.setdefault((point.metric, model), []).append(point)
            units[point.metric] = unit
        return tuple(
            Series(name, model, tuple(points), units[name]) for (name, model), points in sorted(found.items())
        )

    def timeline(self, model: str) -> tuple[Event, ...]:
        """Versions that answered and changes of alerts, oldest first."""
        rows = self._call("GET", f"/timeline/{model}")["timeline"]
        return tuple(Event(**{**row, "at": _time(row["at"])}) for row in rows)

    def infrastructure(self, reports: Sequence[Reported]) -> tuple[Alert, ...]:
        """Report everything about the infrastructure that differs now; what no longer does resolves. Returns
        the alerts that fire."""
        body = {"kind": "infrastructure", "drifts": [asdict(each) for each in reports]}
        return tuple(_alert(row) for row in self._call("POST", "/observations", json=body)["alerts"])

    def rollout(self, report: RolloutReport) -> None:
        """Report what became of a rollout."""
        self._call("POST", "/observations", json={"kind": KIND, **asdict(report)})

    def source(self, name: str, down: str) -> None:
        """Report that an upstream source is down, and why; empty: it is up. What lives on it is not alerted
        meanwhile."""
        self._call("POST", "/observations", json={"kind": "source", "name": name, "down": down})

    def windows(self, model: str) -> tuple[Window, ...]:
        """The newest compared windows of a model, oldest first."""
        import json

        return tuple(
            Window(
                row["version"],
                _time(row["start"]),
                _time(row["end"]),
                row["rows"],
                tuple(json.loads(row["drifted"])),
            )
            for row in self._call("GET", f"/windows/{model}")["windows"]
        )


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


#: Fields of an alert that are times.
_TIMES = (
    "first_seen",
    "last_seen",
    "window_start",
    "window_end",
    "fired_at",
    "acknowledged_at",
    "resolved_at",
    "announced_at",
)


def _silence(row: dict[str, Any]) -> Silence:
    starts, ends = datetime.fromisoformat(row["starts"]), datetime.fromisoformat(row["ends"])
    return Silence(row["id"], row["matchers"], starts, ends, row["who"], row["why"])


def _alert(row: dict[str, Any]) -> Alert:
    values = {key: row[key] for key in Alert.__dataclass_fields__}
    for key in _TIMES:
        values[key] = _time(values[key])
    for key in ("reference", "current"):
        values[key] = _distribution(values[key])
    return Alert(**values)


def _distribution(row: dict[str, Any]) -> Distribution:
    return Distribution(tuple(row["labels"]), tuple(row["shares"]))
