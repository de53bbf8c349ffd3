"""Keeping the tables small in number of files, from one replica for all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence

from blueprints.environment import VARIABLE, Environment


class Upkeep:
    """Starts :mod:`mlops.serving.log.compact` every 15 minutes: a process that commits to a table holds about
    0.1 MB for each of its files, until they are merged."""

    def __init__(self, environment: Environment, seconds: float = 900.0) -> None:
        self._variables = {VARIABLE: json.dumps(environment.revealed())}
        self._seconds = seconds
        self._next = time.monotonic() + seconds
        self._process: subprocess.Popen[bytes] | None = None

    def look(self, tables: Sequence[str]) -> None:
        """Begin when it is time and the last one has ended; never waits."""
        if self._process is not None and self._process.poll() is None:
            return
        if time.monotonic() < self._next or not tables:
            return
        self._next = time.monotonic() + self._seconds
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mlops.serving.log.compact", *tables],
            env={**os.environ, **self._variables},
        )

    def end(self) -> None:
        """What is half merged is no part of a table; it is left for the next time."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(5)
