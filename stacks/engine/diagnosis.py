"""What is wrong after a crash, and the one next step out of it. Looks, and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from blueprints.errors import UsageProblem
from stacks.engine import naming, recovery
from stacks.engine.engine import Engine
from stacks.engine.events import Verb
from stacks.engine.recovery import Holder
from stacks.engine.workspace import checkpoint_file
from stacks.local.home import Home
from stacks.local.kinds import token
from stacks.local.strays import Stray, strays


class Remedy(StrEnum):
    """The steps out, in the order in which they are taken."""

    WAIT = "wait"
    """Somebody is at work, and is never disturbed."""
    UNLOCK = "unlock"
    """Remove the lock of a process that is gone; end an engine whose modelyard is."""
    TIDY = "tidy"
    """Remove what a killed engine left half-written beside its state."""
    RESTORE = "restore"
    """Go on from a copy of the state that Pulumi kept."""
    SET_ASIDE = "set-aside"
    """No copy is whole: start from an empty record; ``up`` then adopts what runs."""
    FORGET = "forget-pending"
    """Take the operations that were cut short off the record; the truth is looked at next."""
    UP = "up"
    """``modelyard up``: it adopts what was made and not recorded, and makes what is recorded and gone."""
    PUT_ASIDE = "put-aside"
    """Put what no resource owns, and the spec does not ask for, out of use."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    Attributes:
        what: One sentence.
        remedy: The step that mends it.
        resource: ``service tracking``; empty: it concerns the environment.
        recorded: What the state says of it.
        truth: What the machine says.
    """

    what: str
    remedy: Remedy
    resource: str = ""
    recorded: str = ""
    truth: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """Everything that is wrong, as far as it can be seen before the first of it is mended.

    Attributes:
        faults: In the order in which they are mended.
        step: What the next step does, one sentence; empty: nothing is wrong.
        copy: The copy that a restore would go on from.
        strays: What would be put out of use.
    """

    faults: tuple[Fault, ...]
    step: str = ""
    copy: Path | None = None
    strays: tuple[Stray, ...] = ()

    @property
    def remedy(self) -> Remedy | None:
        """The next step."""
        return self.faults[0].remedy if self.faults else None


def diagnose(engine: Engine) -> Diagnosis:
    """Look at an environment.

    Raises:
        UsageProblem: Its state is not kept in a folder: locks and history are then the backend's own.
        Problem: The passphrase is wrong, or the engine fails.
    """
    project, environment = engine.project, engine.environment
    state, checkpoint = project.state_folder, checkpoint_file(project, environment)
    if state is None or checkpoint is None:
        raise UsageProblem(
            "the state is kept elsewhere, and so are its locks and its history",
            where=project.backend_url,
            expected="a state in a folder",
            todo="modelyard up recovers what its engine can; pulumi cancel ends an operation there",
        )
    project.stack_file(environment)
    locked = _locks(state, project.name, environment)
    if locked:
        return locked
    if not checkpoint.exists() and not recovery.kept_states(checkpoint):
        return Diagnosis(())
    halves = recovery.halves(checkpoint)
    if halves:
        told = f"half-written beside the state: {', '.join(each.name for each in halves)}"
        return Diagnosis((Fault(told, Remedy.TIDY),), "remove them: they hold nothing")
    if not recovery.whole(checkpoint):
        return _damaged(checkpoint)
    recorded = engine.revealed()
    home = Home(project.folder(environment))
    pending = _pending(recorded, home)
    if pending:
        step = f"take {len(pending)} operations that were cut short off the record"
        return Diagnosis(pending, step)
    return _halves(engine, recorded, home)


def _locks(state: Path, project: str, environment: str) -> Diagnosis | None:
    found = [(lock, recovery.holder(lock)) for lock in recovery.locks(state, project, environment)]
    for lock, holder in found:
        if holder in (Holder.ALIVE, Holder.ELSEWHERE):
            told = f"another operation holds the lock: {lock.words}; its process is {holder.value}"
            return Diagnosis((Fault(told, Remedy.WAIT),), "wait until it is done: it is never disturbed")
    for lock, holder in found:
        told = f"a stale lock: {lock.words}; its process is {holder.value}"
        step = "end that engine in order, and remove its lock" if holder is Holder.ORPHANED else "remove it"
        return Diagnosis((Fault(told, Remedy.UNLOCK),), step)
    return None


def _damaged(checkpoint: Path) -> Diagnosis:
    copies = recovery.kept_states(checkpoint)
    told = f"the recorded state {'is damaged' if checkpoint.exists() else 'is missing'}: {checkpoint}"
    if not copies:
        step = "keep it aside and begin an empty record; modelyard up then adopts what runs"
        return Diagnosis((Fault(told, Remedy.SET_ASIDE),), step)
    kept = copies[0]
    age = datetime.fromtimestamp(kept.stat().st_mtime, UTC)
    source = "the write before the last" if kept == recovery.backup_of(checkpoint) else "Pulumi's history"
    step = (
        f"go on from {kept.name} ({source}, {age:%Y-%m-%d %H:%M:%S} UTC); the damaged one is kept beside it"
    )
    return Diagnosis((Fault(told, Remedy.RESTORE),), step, copy=kept)


def _pending(recorded: Mapping[str, Any], home: Home) -> tuple[Fault, ...]:
    before = {each["urn"]: each for each in recorded.get("resources") or ()}
    return tuple(
        Fault(
            f"{operation['type']} was cut short",
            Remedy.FORGET,
            naming.named(operation["resource"]["urn"]),
            "recorded" if operation["resource"]["urn"] in before else "not recorded",
            _truth(operation["resource"], home),
        )
        for operation in recorded.get("pending_operations") or ()
    )


def _halves(engine: Engine, recorded: Mapping[str, Any], home: Home) -> Diagnosis:
    """What is there and not recorded, or recorded and not there."""
    resources = [
        each for each in recorded.get("resources") or () if each.get("custom") and not each.get("delete")
    ]
    faults = [
        Fault("recorded, but not there", Remedy.UP, naming.named(each["urn"]), "recorded", "not there")
        for each in resources
        if _truth(each, home) == "not there"
    ]
    names = {
        kind: {naming.name_of(each["urn"]) for each in resources if each["type"] == token(kind.capitalize())}
        for kind in ("service", "file")
    }
    found = list(strays(home, names["service"], names["file"]))
    wanted = _wanted(engine) if found else set()
    faults += [
        Fault("made, but not recorded", Remedy.UP, f"{each.kind} {each.name}", "not recorded", each.how)
        for each in found
        if (each.kind, each.name) in wanted
    ]
    left = tuple(each for each in found if (each.kind, each.name) not in wanted)
    faults += [
        Fault("nobody asked for it", Remedy.PUT_ASIDE, f"{each.kind} {each.name}", "not recorded", each.how)
        for each in left
    ]
    if not faults:
        return Diagnosis(())
    step = (
        "modelyard up: it adopts what was made and makes what is gone"
        if faults[0].remedy is Remedy.UP
        else f"put what nobody asked for out of use ({len(left)}), kept in {home.aside}"
    )
    return Diagnosis(tuple(faults), step, strays=left)


def _wanted(engine: Engine) -> set[tuple[str, str]]:
    """What ``up`` would create."""
    steps = engine.preview(over_budget=True).steps
    return {(step.type, step.name) for step in steps if step.verb is Verb.CREATE}


def _truth(resource: Mapping[str, Any], home: Home) -> str:
    """What the machine says of a resource of the local provider."""
    from stacks.provider.server import KINDS

    kind = KINDS.get(str(resource.get("type")))
    if kind is None:
        return "only its provider can tell: modelyard preview asks it"
    values = _plain({**(resource.get("inputs") or {}), **(resource.get("outputs") or {})})
    if resource["type"] == token("Secret"):
        # Its reading puts a secret back; here nothing may change.
        return "there" if (home.secrets / str(values["name"])).exists() else "not there"
    try:
        found = kind(home).read(values)
    except KeyError:
        # Begun and never recorded: not everything by which it is read is known.
        return "cannot be told before it is done again"
    if found is None:
        return "not there"
    differs = sorted(key for key, value in found.items() if key in values and values[key] != value)
    if found.get("running") is False:
        return "there, not running"
    return f"there, differs in {', '.join(differs)}" if differs else "there"


def _plain(value: Any) -> Any:
    """Property values with their secrets as Pulumi exports them, as plain data."""
    if isinstance(value, Mapping):
        if "plaintext" in value and naming.is_secret(value):
            return _plain(json.loads(value["plaintext"]))
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
