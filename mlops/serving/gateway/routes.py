"""Paths, and what they mean."""

from __future__ import annotations

from typing import NamedTuple

_MOST_KEPT = 1024


class Route(NamedTuple):
    """A path taken apart; no ``methods``: nothing is there; ``public``: no token is asked for."""

    kind: str
    methods: tuple[str, ...] = ()
    model: str = ""
    version: str | None = None
    public: bool = False


_GET, _POST = ("GET", "HEAD"), ("POST",)
_NOTHING = Route("nothing")
_FIXED = {
    "/v2": Route("server", _GET),
    "/v2/health/live": Route("live", _GET, public=True),
    "/v2/health/ready": Route("ready", _GET, public=True),
    # Where MLflow's own server and SageMaker's clients look.
    "/ping": Route("live", _GET, public=True),
    "/health": Route("live", _GET, public=True),
    "/v2/labels": Route("labels", _POST),
    "/metrics": Route("metrics", _GET),
    "/openapi.json": Route("openapi", _GET),
    "/invocations": Route("invocations", _POST),
}


class Routes:
    """Looks a path up; those seen are kept, for the hot path is one look into a dictionary."""

    def __init__(self) -> None:
        self._known: dict[str, Route] = dict(_FIXED)

    def find(self, path: str) -> Route:
        """What is there."""
        route = self._known.get(path)
        if route is None:
            route = _parse(path)
            # Paths come from anyone: their number is bounded.
            if len(self._known) >= _MOST_KEPT:
                self._known = dict(_FIXED)
            if route is not _NOTHING:
                self._known[path] = route
        return route


def _parse(path: str) -> Route:
    match path.rstrip("/").split("/")[1:]:
        case ["v2"]:
            return _FIXED["/v2"]
        case ["v2", "models", model, *rest] if model:
            return _of_model(model, rest)
        case ["models", model, "invocations"] | ["invocations", model] if model:
            return Route("invocations", _POST, model)
    return _NOTHING


def _of_model(model: str, rest: list[str]) -> Route:
    version: str | None = None
    if len(rest) > 1 and rest[0] == "versions" and rest[1]:
        version, rest = rest[1], rest[2:]
    match rest:
        case []:
            return Route("metadata", _GET, model, version)
        case ["ready"]:
            return Route("model_ready", _GET, model, version)
        case ["infer"]:
            return Route("infer", _POST, model, version)
    return _NOTHING
