"""Service: a supervised process that is up when its clients would say so."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from blueprints.errors import Problem
from stacks.local import ports
from stacks.local.definition import Definition
from stacks.local.health import Probe
from stacks.local.logs import last_lines
from stacks.local.processes import marker_of
from stacks.local.supervisor import Manners, Supervisor
from stacks.provider.kind import REQUIRED, Input, Kind
from stacks.provider.values import Plain

_GIVEN_UP = {"FATAL", "EXITED"}


class Service(Kind):
    """A supervised process; created when its probe answers."""

    name = "Service"
    inputs = {
        "name": Input(str, "Name of the service.", REQUIRED, replaces=True),
        "argv": Input(list, "Command; secrets belong in env.", REQUIRED),
        "env": Input(dict, "Environment variables.", secret=True),
        "cwd": Input(str, "Working directory, absolute."),
        "user": Input(str, "Run as this user instead of root."),
        "stop": Input(str, "Signal that asks it to end.", "TERM"),
        "grace": Input(int, "Seconds it may take to end before it is made to.", 15),
        "group": Input(bool, "Signal the whole process group.", True),
        "probe": Input(dict, "What ready means: url, username, password, body.", secret=True),
        "patience": Input(int, "Seconds it may take to be ready.", 180),
        "triggers": Input(list, "Restart when one of these changes."),
    }
    outputs = {"running": Input(bool, "Whether the supervisor keeps it running."), "log": Input(str, "Log.")}
    well = {"running": True}

    def check_values(self, inputs: Plain) -> list[tuple[str, str]]:
        faults = []
        if not inputs["argv"]:
            faults.append(("argv", "expected a command, got an empty list"))
        if inputs.get("stop", "TERM") not in ("TERM", "INT", "QUIT"):
            faults.append(("stop", f"expected TERM, INT or QUIT, got {inputs['stop']!r}"))
        return faults

    def id_of(self, inputs: Plain) -> str:
        return str(inputs["name"])

    def _definition(self, values: Plain) -> Definition:
        name = str(values["name"])
        return Definition(
            name=name,
            marker=self.home.marker(name),
            argv=tuple(str(word) for word in values["argv"]),
            env={key: str(value) for key, value in (values.get("env") or {}).items()},
            cwd=str(values.get("cwd") or ""),
            user=str(values.get("user") or ""),
        )

    def _probe(self, values: Plain) -> Probe | None:
        probe = values.get("probe")
        return Probe(**{key: str(value) for key, value in probe.items()}) if probe else None

    def create(self, inputs: Plain) -> Plain:
        control = Supervisor(self.home)
        control.start()
        definition = self._definition(inputs)
        if not self._well(control, definition, inputs):
            control.add(definition, _manners(inputs))
        self._wait(control, inputs)
        return inputs | {"running": True, "log": str(self.home.log(definition.name))}

    def update(self, state: Plain, inputs: Plain) -> Plain:
        if state.get("triggers") != inputs.get("triggers"):
            control = Supervisor(self.home)
            control.start()
            control.add(self._definition(inputs), _manners(inputs))
        return self.create(inputs)

    def _well(self, control: Supervisor, definition: Definition, values: Plain) -> bool:
        """Whether exactly this service runs already: then it is adopted, not restarted."""
        return self._as_written(control, definition, values) and self._runs(control, definition.name)

    def _as_written(self, control: Supervisor, definition: Definition, values: Plain) -> bool:
        expected = control.conf_text(definition.name, _manners(values))
        try:
            return (
                Definition.load(control.definition_path(definition.name)) == definition
                and control.conf_path(definition.name).read_text() == expected
            )
        except (OSError, ValueError):
            return False

    def _runs(self, control: Supervisor, name: str) -> bool:
        state = control.states().get(name)
        return state is not None and state.state in ("RUNNING", "STARTING")

    def _wait(self, control: Supervisor, values: Plain) -> None:
        name, probe = str(values["name"]), self._probe(values)
        start = time.monotonic()
        pause, fault = 0.05, "is starting"
        while time.monotonic() - start < int(values.get("patience", 180)):
            state = control.states().get(name)
            if state is None or state.state in _GIVEN_UP:
                raise self._failed(values, "ended" if state is None else f"gave up ({state.words})")
            if state.state in ("RUNNING", "STARTING") and probe and _launched(state.pid):
                fault = probe.fault()
                if not fault:
                    # The answer may be another program's, while ours fails to get the port.
                    if self._stranger(values, state.pid):
                        raise self._failed(values, "cannot listen")
                    return
            elif probe is None and state.state == "RUNNING":
                return
            time.sleep(pause)
            pause = min(0.25, pause * 1.2)
        raise self._failed(values, f"was not ready after {values.get('patience', 180)} s: {fault}")

    def _failed(self, values: Plain, fact: str) -> Problem:
        name = str(values["name"])
        tail = "\n".join(f"    {line}" for line in last_lines(self.home.log(name), 8))
        for secret in self._secrets(values):
            tail = tail.replace(secret, "[secret]")
        if stranger := self._stranger(values):
            fact = f"{stranger}; {fact}"
        return Problem(
            f"{fact}; its last lines:\n{tail}" if tail else fact,
            where=f"service {name}",
            expected="a running, answering process",
            todo=f"modelyard logs {name}; then modelyard up",
        )

    def _secrets(self, values: Plain) -> list[str]:
        """What must not be quoted from a log: every generated secret of the environment, and what the
        variables of this service hold under a name that says secret. Longest first, so that none is left
        over as a part of another."""
        hidden = [
            str(value)
            for key, value in (values.get("env") or {}).items()
            if any(word in key for word in ("PASSWORD", "PASSPHRASE", "SECRET", "TOKEN", "KEY"))
        ]
        hidden.append(str((values.get("probe") or {}).get("password", "")))
        if self.home.secrets.is_dir():
            hidden += [path.read_text() for path in self.home.secrets.iterdir() if path.is_file()]
        return sorted((each for each in hidden if len(each) >= 8), key=len, reverse=True)

    def _stranger(self, values: Plain, pid: int = 0) -> str:
        """Who holds the port this service (process ``pid``) is to listen on, when it is none of ours."""
        port = urlsplit(str((values.get("probe") or {}).get("url", ""))).port
        process = ports.holder(port) if port else None
        if process is None or marker_of(process).startswith(f"{self.home.root}/"):
            return ""
        with contextlib.suppress(psutil.Error):
            # A program may have overwritten its variables with its title.
            if pid in {process.pid, *(each.pid for each in process.parents())}:
                return ""
        return f"port {port} is held by {ports.describe_holder(port or 0)}"

    def read(self, state: Plain) -> Plain | None:
        control = Supervisor(self.home)
        path = control.definition_path(str(state["name"]))
        if not Path(path).exists():
            return None
        try:
            found = Definition.load(path)
        except ValueError:
            return state | {"argv": [], "running": False}
        truth = state | {"argv": list(found.argv)}
        # Absent stays absent: an empty map in the state would differ from none in the program.
        if found.env or state.get("env"):
            truth["env"] = found.env
        running = self._as_written(control, self._definition(state), state) and self._runs(
            control, found.name
        )
        return truth | {"running": running}

    def delete(self, state: Plain) -> None:
        Supervisor(self.home).remove(str(state["name"]))
        for path in self.home.logs.glob(f"{state['name']}.log*"):
            path.unlink(missing_ok=True)


def _manners(values: Plain) -> Manners:
    return Manners(values.get("stop", "TERM"), values.get("grace", 15), values.get("group", True))


def _launched(pid: int) -> bool:
    """Whether the launcher has become the service: until then a leftover of an earlier life, which the
    launcher is about to end, might answer the probe."""
    try:
        return "stacks.local.launch" not in psutil.Process(pid).cmdline()
    except psutil.Error:
        return False
