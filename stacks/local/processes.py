"""Find and end the processes of a service by the marker in their environment, never by name."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable

import psutil

MARKER = "MODELYARD_SERVICE"


def end_with_parent() -> None:
    """End when the engine that started this plugin dies: one without its engine would finish work that nobody
    records, or wait for ever."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.3)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def marked(marker: str, *, whole_environment: bool = False) -> list[psutil.Process]:
    """Processes whose environment says ``MODELYARD_SERVICE=marker``.

    Args:
        marker: ``Home.marker(service)``; with ``whole_environment``, ``str(Home.root)``.
        whole_environment: Take every service of the environment.
    """
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        value = marker_of(process)
        if value == marker or (whole_environment and value.startswith(marker + "/")):
            found.append(process)
    return found


def marker_of(process: psutil.Process) -> str:
    """What the process carries in ``MODELYARD_SERVICE``; empty when nothing, or not ours to see."""
    try:
        return str(process.environ().get(MARKER, ""))
    except (psutil.Error, OSError):
        return ""


def end(processes: Iterable[psutil.Process], patience_seconds: float = 5.0) -> int:
    """Ask the processes to end, then make them; returns how many there were."""
    listed = list(processes)
    for process in listed:
        _signal(process.terminate)
    _, stubborn = psutil.wait_procs(listed, timeout=patience_seconds)
    for process in stubborn:
        _signal(process.kill)
    psutil.wait_procs(stubborn, timeout=patience_seconds)
    return len(listed)


def kill(processes: Iterable[psutil.Process]) -> int:
    """End the processes at once; returns how many there were."""
    listed = list(processes)
    for process in listed:
        _signal(process.kill)
    psutil.wait_procs(listed, timeout=5)
    return len(listed)


def _signal(act: object) -> None:
    assert callable(act)
    try:
        act()
    except psutil.Error:
        return
