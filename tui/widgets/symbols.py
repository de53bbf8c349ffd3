"""State as a symbol and a colour; readable without the colour."""

from __future__ import annotations

from typing import Literal

from tui.themes import Palette

State = Literal["well", "changing", "failing", "degraded", "off", "protected"]

SYMBOLS: dict[State, str] = {
    "well": "●",
    "changing": "◐",
    "failing": "▲",
    "degraded": "△",
    "off": "○",
    "protected": "■",
}

_RUNS: dict[str, State] = {
    "FINISHED": "well",
    "RUNNING": "changing",
    "SCHEDULED": "changing",
    "FAILED": "failing",
}
_DEPLOYMENTS: dict[str, State] = {
    "serving": "well",
    "loading": "changing",
    "degraded": "degraded",
    "failed": "failing",
}


def colour(state: State, colours: Palette) -> str:
    """The colour of a state, as hex."""
    return {
        "well": colours.good,
        "changing": colours.busy,
        "failing": colours.bad,
        "degraded": colours.warn,
        "off": colours.dim,
        "protected": colours.protected,
    }[state]


def of_run(status: str) -> State:
    """State of an MLflow run status."""
    return _RUNS.get(status, "off")


def of_service(state: str, healthy: bool | None) -> State:
    """State of a service's process and health."""
    if state == "running":
        return "degraded" if healthy is False else "well"
    if state == "starting":
        return "changing"
    return "failing" if state == "failed" else "off"


def of_deployment(state: str) -> State:
    """State of a deployment."""
    return _DEPLOYMENTS.get(state, "off")


def of_alert(severity: str, state: str) -> State:
    """State of an alert: only a firing one burns."""
    if state == "resolved":
        return "well"
    if state == "acknowledged":
        return "off"
    return "failing" if severity == "page" else "degraded"
