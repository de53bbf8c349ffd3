"""The administrator's paths of a gateway: what is deployed, and the acts that change it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from pydantic import ValidationError

from blueprints.errors import ExitCode, Problem, UsageProblem
from mlops.serving.control import peers
from mlops.serving.control.conductor import Conductor

log = logging.getLogger(__name__)
Answer = tuple[int, Any]


class Admin:
    """Handlers for the gateway's ``admin`` paths.

    Args:
        rows: What ``GET /v2/deployments`` lists.
    """

    def __init__(self, conductor: Conductor, rows: Callable[[], list[dict[str, Any]]]) -> None:
        self._conductor, self._rows = conductor, rows

    async def evidence(self, scope: Mapping[str, Any], body: bytes) -> Answer:
        """``/v2/evidence``: for the replica that leads."""
        report = self._conductor.report()
        return 200, peers.write(report)

    async def deployments(self, scope: Mapping[str, Any], body: bytes) -> Answer:
        """``GET /v2/deployments``; ``POST /v2/deployments/MODEL/ACTION`` with what the action takes."""
        try:
            return await self._deployments(scope, body)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            return 400, {"error": f"{place}: {first['msg']}" if place else str(first["msg"])}
        except Problem as problem:
            status = 503 if problem.code is ExitCode.RETRY else 409
            if isinstance(problem, UsageProblem):
                status = 400
            return status, {"error": problem.what, "expected": problem.expected, "todo": problem.todo}

    async def _deployments(self, scope: Mapping[str, Any], body: bytes) -> Answer:
        parts = [unquote(part) for part in scope["path"].removeprefix("/v2/deployments").split("/") if part]
        if scope["method"] == "GET" and not parts:
            rows = await asyncio.to_thread(self._rows)
            return 200, {"deployments": rows, "registry": self._conductor.registry_fault}
        if scope["method"] == "GET" and len(parts) == 2 and parts[1] == "state":
            return 200, {"state": self._conductor.tag(parts[0])}
        if scope["method"] != "POST" or len(parts) != 2:
            return 404, {"error": "expected GET /v2/deployments, or POST /v2/deployments/MODEL/ACTION"}
        model, action = parts
        if action == "preload":
            version = str(_document(body).get("version") or "")
            await asyncio.to_thread(self._conductor.preload, model, version)
            return 200, {}
        if action == "state":
            await asyncio.to_thread(self._conductor.take_over, model, body.decode("utf-8", "replace"))
            return 200, {}
        what = _document(body)
        after = await asyncio.to_thread(self._conductor.act, model, action, what)
        return 200, {"desired": after.model_dump(mode="json")}


def _document(body: bytes) -> Mapping[str, Any]:
    try:
        what = json.loads(body or b"{}")
    except ValueError:
        what = None
    if not isinstance(what, dict):
        raise UsageProblem("expected a JSON object", where="deployments")
    return what
