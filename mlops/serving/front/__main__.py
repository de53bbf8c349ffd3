"""``python -m mlops.serving.front``: HAProxy before the replicas, as a child that ends with us.

A change of replicas must cost no caller anything, so a new HAProxy takes the listening sockets over from the
old one, which finishes what it works on.
"""

from __future__ import annotations

import ctypes
import logging
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import FrameType

from blueprints.errors import ExitCode, Problem
from mlops.serving.front.client import FrontClient
from mlops.serving.front.config import executable, states, text
from mlops.serving.front.settings import FrontSettings, private_folder_of, read, socket_path

log = logging.getLogger("front")
_PR_SET_PDEATHSIG = 1
_LOOK_SECONDS = 0.5


def _die_with_parent() -> None:
    # Runs between fork and exec; where there is no prctl a front that was killed leaves its HAProxy behind,
    # which the supervisor ends by its mark.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def write(settings: FrontSettings, name: str = "haproxy.cfg") -> Path:
    """Write the configuration; returns its path.

    Raises:
        Problem: The folder of the socket is not ours.
    """
    private_folder_of(socket_path(settings.folder))
    path = settings.folder / name
    path.write_text(text(settings))
    path.chmod(0o600)
    return path


def check(program: str, path: Path) -> None:
    """Ask HAProxy whether it accepts the configuration.

    Raises:
        Problem: It does not; in its words.
    """
    done = subprocess.run([program, "-c", "-q", "-f", str(path)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Problem(
            f"{program} does not accept its configuration: {done.stderr.strip()[:500]}", where=str(path)
        )


class Front:
    """The HAProxy that serves, and those before it that still finish what they work on."""

    def __init__(self, program: str, settings: FrontSettings) -> None:
        self._program, self._settings = program, settings
        self._client = FrontClient(settings.folder)
        self._serving: subprocess.Popen[bytes] | None = None
        self._finishing: list[subprocess.Popen[bytes]] = []
        self._refused: FrontSettings | None = None
        self._said = ""

    def begin(self) -> None:
        """Start it.

        Raises:
            Problem: The configuration is not accepted.
        """
        # Of an earlier life: what it says of the replicas is no longer true.
        states(self._settings.folder).unlink(missing_ok=True)
        self._start(self._settings, self._tried(self._settings))

    def _tried(self, settings: FrontSettings) -> Path:
        """A configuration that HAProxy accepts.

        Raises:
            Problem: It does not.
        """
        tried = write(settings, "haproxy.next.cfg")
        check(self._program, tried)
        return tried

    def _start(self, settings: FrontSettings, tried: Path, *more: str) -> None:
        path = tried.replace(settings.folder / "haproxy.cfg")
        # A session of its own: a signal to our group asks us, and we ask it, gently.
        self._serving = subprocess.Popen(
            [self._program, "-db", "-f", str(path), *more],
            start_new_session=True,
            preexec_fn=_die_with_parent,  # this process has one thread
        )

    def follow(self) -> None:
        """Serve by the settings as they are now, let in whom the checks find gone."""
        try:
            settings = read()
            if settings not in (self._settings, self._refused):
                self._take_over(settings)
                self._settings, self._refused = settings, None
            self._return()
            self._said = ""
        except Problem as problem:
            # Twice a second: said once.
            if problem.what != self._said:
                log.warning("%s", problem.what)
                self._said = problem.what
        self._finishing = [each for each in self._finishing if each.poll() is None]

    def _take_over(self, settings: FrontSettings) -> None:
        old = self._serving
        assert old is not None
        try:
            tried = self._tried(settings)
        except Problem:
            self._refused = settings
            raise
        states(settings.folder).write_text(self._client.state())
        self._start(settings, tried, "-x", str(socket_path(settings.folder)), "-sf", str(old.pid))
        self._finishing.append(old)
        log.info("now before %d replicas", len(settings.replicas))

    def _return(self) -> None:
        """Let a replica that drained itself in again, once its old process is seen gone: whoever comes back
        under its address is a new one, whom the health checks keep out until it answers."""
        for name in self._client.gone():
            self._client.ready(name)
            log.info("%s is gone; it gets requests again when it is back", name)

    def code(self) -> int | None:
        """Exit code of the one that serves; None: it does."""
        assert self._serving is not None
        return self._serving.poll()

    def end(self, number: int, frame: FrameType | None) -> None:
        """A signal asks us to end."""
        for each in (self._serving, *self._finishing):
            if each is not None and each.poll() is None:
                # USR1: no new connections, those that are open end after their request.
                each.send_signal(signal.SIGUSR1)


def serve(front: Front) -> int:
    """Run until it ends or we are asked to; returns its exit code."""
    woken, wakes = socket.socketpair()
    wakes.setblocking(False)
    signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, front.end)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    while (code := front.code()) is None:
        if select.select([woken], [], [], _LOOK_SECONDS)[0]:
            woken.recv(4096)
        else:
            front.follow()
    return code


def main() -> int:
    """Serve until asked to end."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    os.umask(0o077)
    try:
        settings = read()
        program = executable()
        if not program:
            raise Problem(
                "HAProxy is not on this machine",
                todo="install haproxy, or set serving.front=none",
                code=ExitCode.FAILED,
            )
        front = Front(program, settings)
        front.begin()
    except Problem as problem:
        print(problem, file=sys.stderr)  # noqa: T201
        return int(problem.code)
    return serve(front)


if __name__ == "__main__":
    sys.exit(main())
