"""Seconds that resources took, so that the next run can say what to expect."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from stacks.engine.events import Step


class History:
    """``.modelyard/history.json``: resource and verb -> seconds of the last time.

    It is a convenience: a file that is damaged or cannot be written costs the estimate, nothing else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seconds: dict[str, float] = {}
        with contextlib.suppress(OSError, ValueError, AttributeError):
            data = json.loads(path.read_text())
            self._seconds = {key: float(value) for key, value in data.items()}

    def expected(self, step: Step) -> float | None:
        """Seconds the step took last time; None when it was never seen."""
        return self._seconds.get(_key(step))

    def expected_total(self, operation: str) -> float | None:
        """Seconds the whole operation took last time."""
        return self._seconds.get(operation)

    def note(self, step: Step, seconds: float) -> None:
        """Remember how long a step took."""
        if step.type != "component":
            self._seconds[_key(step)] = round(seconds, 2)

    def save(self, operation: str, seconds: float) -> None:
        """Write the file, with the time of the whole operation."""
        self._seconds[operation] = round(seconds, 2)
        part = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        with contextlib.suppress(OSError):
            part.write_text(json.dumps(self._seconds, indent=1, sort_keys=True))
            part.replace(self.path)


def _key(step: Step) -> str:
    return f"{step.verb.value} {step.type} {step.name}"
