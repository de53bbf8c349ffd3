"""supervisord of one environment: start it, tell it what to run, ask it how things are."""

from __future__ import annotations

import contextlib
import http.client
import socket
import subprocess
import sys
import threading
import time
import xmlrpc.client
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from blueprints.errors import Problem
from stacks.local import processes
from stacks.local.definition import Definition
from stacks.local.home import Home, private_folder, write_private

_CONFIG = """\
; Written by Modelyard; edits are undone by the next up.
[unix_http_server]
file={socket}
chmod=0600

[supervisord]
logfile={logs}/supervisor.log
logfile_maxbytes=10MB
logfile_backups=2
pidfile={run}/supervisor.pid
childlogdir={logs}
directory={run}
identifier=modelyard
silent=true

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[include]
files = {run}/services/*.conf
"""

_SERVICE = """\
; Written by Modelyard; edits are undone by the next up.
[program:{name}]
command={python} -m stacks.local.launch {definition}
autostart=true
autorestart=true
startsecs=1
startretries=5
stopsignal={stop}
stopwaitsecs={patience}
stopasgroup={group}
killasgroup=true
redirect_stderr=true
stdout_logfile={log}
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=5
"""

_UNREACHABLE = (OSError, xmlrpc.client.Error, http.client.HTTPException, ValueError)

#: supervisord reads its configuration in one go; two threads that add services must not cross.
_CONFIGURING = threading.Lock()
#: Every service makes sure that supervisord runs, many at once: one of them starts it.
_STARTING = threading.Lock()


@dataclass(frozen=True)
class ProcessState:
    """What the supervisor says of one service: its state word (``RUNNING``, ``STARTING``, ``BACKOFF``,
    ``FATAL``, ``STOPPED``, ``EXITED``), process id (0: none), seconds since it started and its own words."""

    name: str
    state: str
    pid: int
    seconds: float
    words: str


@dataclass(frozen=True)
class Manners:
    """How a service is asked to end: the signal, the seconds before it is killed, whether its whole
    process group gets the signal."""

    signal: str = "TERM"
    grace_seconds: int = 15
    group: bool = True


class _SocketTransport(xmlrpc.client.Transport):
    """XML-RPC over a Unix socket that gives up in time: supervisor's own waits for ever."""

    def __init__(self, path: Path, timeout_seconds: float) -> None:
        super().__init__()
        self._path, self._timeout = path, timeout_seconds

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("localhost", timeout=self._timeout)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(self._timeout)
        connection.sock.connect(str(self._path))
        return connection


class Supervisor:
    """The supervisord of the environment at ``home``."""

    def __init__(self, home: Home) -> None:
        self.home = home

    @property
    def _services(self) -> Path:
        return self.home.run / "services"

    def config_text(self) -> str:
        """The configuration file as it should be."""
        return _CONFIG.format(
            socket=_escaped(self.home.socket), logs=_escaped(self.home.logs), run=_escaped(self.home.run)
        )

    def definition_path(self, name: str) -> Path:
        """Where the definition of a service lies."""
        return self._services / f"{name}.json"

    def conf_path(self, name: str) -> Path:
        """Where the supervisor's part of a service lies."""
        return self._services / f"{name}.conf"

    def conf_text(self, name: str, manners: Manners) -> str:
        """The supervisor's part of a service as it should be."""
        return _SERVICE.format(
            name=name,
            python=_escaped(sys.executable),
            definition=_escaped(self.definition_path(name)),
            stop=manners.signal,
            patience=manners.grace_seconds,
            group=str(manners.group).lower(),
            log=_escaped(self.home.log(name)),
        )

    @contextlib.contextmanager
    def _rpc(self, timeout_seconds: float = 60.0) -> Any:
        transport = _SocketTransport(self.home.socket, timeout_seconds)
        proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
        try:
            yield proxy.supervisor
        finally:
            transport.close()

    def alive(self) -> bool:
        """Whether supervisord answers."""
        if not self.home.socket.exists():
            return False
        try:
            with self._rpc(timeout_seconds=5) as rpc:
                return bool(rpc.getState()["statename"] == "RUNNING")
        except _UNREACHABLE:
            return False

    def start(self) -> None:
        """Start supervisord unless it runs; services with a definition start with it.

        Raises:
            Problem: It does not come up.
        """
        with _STARTING:
            self._start()

    def _start(self) -> None:
        for folder in (self._services, self.home.logs, self.home.config, self.home.data):
            private_folder(folder)
        write_private(self.home.run / "supervisord.conf", self.config_text())
        if self.alive():
            return
        processes.kill(processes.marked(self.home.marker("supervisor")))
        self.home.socket.unlink(missing_ok=True)
        done = subprocess.run(
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(self.home.run / "supervisord.conf")],
            env=_environment(self.home),
            cwd=self.home.run,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        deadline = time.monotonic() + 20
        while not self.alive():
            if done.returncode or time.monotonic() > deadline:
                raise Problem(
                    "supervisord did not start: " + (done.stderr or done.stdout).strip()[-400:],
                    where=str(self.home.run),
                    todo=f"read {self.home.logs / 'supervisor.log'}",
                )
            time.sleep(0.05)

    def shut_down(self) -> None:
        """Stop every service and supervisord itself; what does not listen is made to."""
        if self.alive():
            with contextlib.suppress(*_UNREACHABLE), self._rpc() as rpc:
                rpc.shutdown()
            deadline = time.monotonic() + 25
            while self.home.socket.exists() and time.monotonic() < deadline:
                time.sleep(0.05)
        processes.end(processes.marked(str(self.home.root), whole_environment=True))
        self.home.socket.unlink(missing_ok=True)

    def add(self, definition: Definition, manners: Manners | None = None) -> None:
        """Run the service, replacing an earlier definition of the same name."""
        name = definition.name
        self._stop(name)
        with _CONFIGURING:
            self._drop(name)
            definition.write(self.definition_path(name))
            write_private(self.conf_path(name), self.conf_text(name, manners or Manners()))
            with self._rpc() as rpc:
                rpc.reloadConfig()
                rpc.addProcessGroup(name)

    def remove(self, name: str) -> None:
        """Stop the service and forget it."""
        self._stop(name)
        with _CONFIGURING:
            self._drop(name)
            self.conf_path(name).unlink(missing_ok=True)
            self.definition_path(name).unlink(missing_ok=True)
            if self.alive():
                with self._rpc() as rpc:
                    rpc.reloadConfig()

    def restart(self, name: str) -> None:
        """Start a service that has stopped or given up; a running one is left alone."""
        with self._rpc() as rpc, contextlib.suppress(xmlrpc.client.Fault):
            rpc.startProcess(name, False)

    def _stop(self, name: str) -> None:
        """Ask it to end, and wait. Outside the lock: services that take their time do so side by side."""
        if self.alive():
            with self._rpc() as rpc, contextlib.suppress(xmlrpc.client.Fault):
                rpc.stopProcess(name)
        processes.end(processes.marked(self.home.marker(name)))

    def _drop(self, name: str) -> None:
        if self.alive():
            with self._rpc() as rpc, contextlib.suppress(xmlrpc.client.Fault):
                rpc.removeProcessGroup(name)

    def states(self, timeout_seconds: float = 5.0) -> dict[str, ProcessState]:
        """How every service is; empty when supervisord does not answer in time."""
        try:
            with self._rpc(timeout_seconds) as rpc:
                rows = rpc.getAllProcessInfo()
        except _UNREACHABLE:
            return {}
        return {
            row["name"]: ProcessState(
                row["name"],
                row["statename"],
                row["pid"],
                max(0.0, row["now"] - row["start"]) if row["pid"] else 0.0,
                row["description"],
            )
            for row in rows
        }


def _environment(home: Home) -> dict[str, str]:
    """What supervisord inherits: the caller's variables less the secrets of the Pulumi run it was born in."""
    import os

    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PULUMI_", "MODELYARD_")) and key != "PYTHONDONTWRITEBYTECODE"
    }
    return kept | {processes.MARKER: home.marker("supervisor")}


def _escaped(value: object) -> str:
    return str(value).replace("%", "%%")


def memory_mb(pid: int) -> float | None:
    """Memory of a process and its children, MB, pages that they share counted once (where the system tells:
    Linux); None when it is gone."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        return None
    return sum(_proportional_bytes(member) for member in family) / 1e6


def _proportional_bytes(process: psutil.Process) -> int:
    try:
        full = process.memory_full_info()
        return int(getattr(full, "pss", full.uss))
    except psutil.Error:
        return 0
