"""Port: one or more loopback ports, chosen once and kept."""

from __future__ import annotations

import threading

from blueprints.errors import Problem
from stacks.local import ports
from stacks.local.processes import marker_of
from stacks.provider.kind import REQUIRED, Input, Kind
from stacks.provider.values import Plain

_CHOOSING = threading.Lock()
_promised: set[int] = set()


class Port(Kind):
    """Loopback TCP ports, chosen once and kept for the life of the environment."""

    name = "Port"
    inputs = {
        "name": Input(str, "What listens on them.", REQUIRED, replaces=True),
        "number": Input(int, "A certain port; empty: a free one.", replaces=True),
        "count": Input(int, "How many.", 1, replaces=True),
    }
    outputs = {"numbers": Input(list, "The ports.")}

    def check_values(self, inputs: Plain) -> list[tuple[str, str]]:
        number = inputs.get("number")
        if isinstance(number, int) and not 1024 <= number <= 65535:
            return [("number", f"expected 1024 to 65535, got {number}")]
        return []

    def id_of(self, inputs: Plain) -> str:
        return str(inputs["name"])

    def create(self, inputs: Plain) -> Plain:
        if inputs.get("number") is not None:
            return inputs | {"numbers": [self._certain(inputs)]}
        with _CHOOSING:
            found = []
            for port in ports.candidates(self.home.root, str(inputs["name"])):
                if port not in _promised and (ports.is_free(port) or self._ours(port)):
                    _promised.add(port)
                    found.append(port)
                if len(found) == inputs["count"]:
                    return inputs | {"numbers": found}
        raise Problem(f"no free loopback port for {inputs['name']}", expected="one of 20000 to 32000")

    def _certain(self, inputs: Plain) -> int:
        port = int(inputs["number"])
        if not ports.is_free(port) and not self._ours(port):
            raise Problem(
                f"port {port} is in use by {ports.describe_holder(port)}",
                where=f"{inputs['name']}.port",
                expected="a free port",
                todo=f"stop that process, or choose another: modelyard init --set {inputs['name']}.port=PORT",
            )
        return port

    def _ours(self, port: int) -> bool:
        """Whether a service of this very environment listens there: the up before us was killed."""
        process = ports.holder(port)
        return process is not None and marker_of(process).startswith(f"{self.home.root}/")

    def read(self, state: Plain) -> Plain | None:
        return state

    def delete(self, state: Plain) -> None:
        """A port is only a number once nothing listens."""
