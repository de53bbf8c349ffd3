"""What went wrong in the engine, told as a Problem."""

from __future__ import annotations

import re
from pathlib import Path

from blueprints.errors import ExitCode, Problem, UsageProblem
from stacks.engine.naming import name_of, named
from stacks.engine.places import place_problem
from stacks.engine.state import damaged
from stacks.engine.watch import Watcher, plain_text

#: Sentences in which the engine sums up what it has already said.
_SUMMARIES = re.compile(
    r"^(update|preview|refresh|destroy|deletion|resource \w+) failed"
    r"|^one or more|^an unhandled error|occurred during|^stopped because|operation (was )?cancell?ed"
)


class NothingIsUp(Problem):
    """The environment was never brought up, or was taken down."""


def explained(
    output: str, watcher: Watcher | None, where: str, state: Path | None, *, interrupted: bool = False
) -> Problem:
    """The Problem behind a failed CLI call.

    Args:
        output: Everything the CLI printed.
        watcher: What the event stream said.
        where: The environment, for messages that name no resource.
        state: Folder of the file backend.
        interrupted: Whether we asked it to stop.
    """
    text = plain_text(output)
    if interrupted:
        return Problem(
            "interrupted; what was finished is recorded",
            where=where,
            todo="modelyard up continues where this ended",
            code=ExitCode.INTERRUPTED,
        )
    for known in (_killed, _settings, _passphrase, _lock, _disk, _place, _backend):
        problem = known(text, where, state)
        if problem is not None:
            return problem
    told = _policy(watcher) or _guarded(watcher, where) or _resource(watcher, where)
    return told or Problem(_last_error(text), where=where, todo="modelyard doctor")


def _place(text: str, where: str, state: Path | None) -> Problem | None:
    return place_problem(text, where, in_folder=state is not None)


def _passphrase(text: str, where: str, state: Path | None) -> Problem | None:
    if (
        "incorrect passphrase" in text
        or "PULUMI_CONFIG_PASSPHRASE" in text
        or "passphrase must be set" in text
    ):
        return Problem(
            "the passphrase does not open the secrets of this environment",
            where=where,
            expected="the passphrase it was made with",
            todo="restore .modelyard/passphrase, or set PULUMI_CONFIG_PASSPHRASE or …_FILE to the right one",
        )
    return None


def _lock(text: str, where: str, state: Path | None) -> Problem | None:
    if "currently locked by" in text or "Another update is currently in progress" in text:
        found = re.search(r"created by (\S+) \(pid (\d+)\) at (\S+)", text)
        holder = f": {found[1]}, pid {found[2]}, since {found[3]}" if found else ""
        return Problem(
            f"another operation is at work on this environment{holder}",
            where="state",
            todo="wait until it is done, then run the same again",
            code=ExitCode.RETRY,
        )
    return None


def _disk(text: str, where: str, state: Path | None) -> Problem | None:
    if "no space left on device" in text.lower():
        return Problem("the disk is full", where=where, todo="free some space, then run the same again")
    found = re.search(r"(/\S+): (permission denied|read-only file system|operation not permitted)", text)
    if found:
        return Problem("no permission", where=found[1], todo="give yourself access to it, then run it again")
    return None


def _killed(text: str, where: str, state: Path | None) -> Problem | None:
    found = re.match(r"\s*code: -(\d+)", text)
    if found:
        return Problem(
            f"the Pulumi engine was ended from outside (signal {found[1]})",
            where=where,
            expected="an engine that may finish",
            todo="modelyard up: it looks at what is there and goes on; if it happens again, see to memory",
            code=ExitCode.RETRY,
        )
    return None


def _settings(text: str, where: str, state: Path | None) -> Problem | None:
    if "malformed state value" in text or "invalid salt" in text:
        name = where.split(" ")[-1]
        return UsageProblem(
            "is damaged: it belongs to the passphrase that the secrets are encrypted with",
            where=f"Pulumi.{name}.yaml encryptionsalt",
            expected="the line as the engine wrote it, v1:…",
            todo="restore it from version control",
        )
    return None


def _backend(text: str, where: str, state: Path | None) -> Problem | None:
    if "failed to load checkpoint" in text or "could not deserialize deployment" in text:
        return damaged(state) if state else Problem("the recorded state cannot be read", where=where)
    return None


def _guarded(watcher: Watcher | None, where: str) -> Problem | None:
    """The engine refuses to delete what holds the data of a protected environment."""
    found = (
        re.search(r'"(urn:[^"]+)" cannot be \w+\s+because it is protected', each.message)
        for each in (watcher.errors if watcher else ())
    )
    names = sorted({name_of(match[1]) for match in found if match})
    if not names:
        return None
    return Problem(
        f"the environment is protected, and this would replace or delete data of it: {', '.join(names)}",
        where=where,
        expected="a change that keeps them, or each named",
        todo="modelyard up " + " ".join(f"--allow-replace {name}" for name in names),
    )


def _policy(watcher: Watcher | None) -> Problem | None:
    """The rules that stopped it: the first whole, the others by name and resource."""
    broken = watcher.policy.violations() if watcher is not None else []
    if not broken:
        return None
    rule, finding = broken[0]
    others = [f"{other.id} ({at.resource}: {at.what})" for other, at in broken[1:]]
    also = f"; also {', '.join(others)}" if others else ""
    return Problem(
        f"policy {rule.id}: {finding.what}{also}",
        where=named(finding.urn),
        expected=f"{rule.what} {rule.why}",
        todo=f"{rule.fix} To let it pass for a while: policy.exceptions of the spec (docs/policy.md)",
    )


def _resource(watcher: Watcher | None, where: str) -> Problem | None:
    """The first resource that failed, in its own words."""
    if watcher is None:
        return None
    told = [each for each in watcher.errors if not _SUMMARIES.search(_bare(each.message))]
    if not told:
        return None
    names = {step.urn: f"{step.type} {step.name}" for step in (*watcher.steps, *watcher.failed)}
    first = next((each for each in told if each.urn in names), told[0])
    lines = [line for line in _bare(first.message).splitlines() if line.strip()]
    head = lines[0]
    parts = dict.fromkeys(("expected", "do"), "")
    rest = []
    for line in lines[1:]:
        label, colon, words = line.strip().partition(": ")
        if colon and label in parts:
            parts[label] = words
        else:
            rest.append(line.strip())
    what = " ".join([head, *rest])
    others = len({each.urn for each in told}) - 1
    more = f" (and {others} more failed)" if others > 0 else ""
    resource = names.get(first.urn, where)
    service = resource.split(" ")[-1]
    return Problem(
        what + more,
        where=resource,
        expected=parts["expected"],
        todo=parts["do"]
        or (f"modelyard logs {service}" if resource.startswith("service ") else "fix it, then modelyard up"),
    )


def _bare(message: str) -> str:
    """The message without the wrappings of the engine's own layers."""
    text = message.strip()
    for wrapping in (r"^error: ", r"^sdk-v2/\S+ ", r"^Exception calling application: ", r"^Program failed: "):
        text = re.sub(wrapping, "", text)
    return re.sub(r"^\d+ errors? occurred:\s*\*\s*", "", text).strip()


def _last_error(text: str) -> str:
    # The first line of each stream follows its label on the same line.
    lines = [re.sub(r"^\s*(stdout|stderr): ", "", line).strip() for line in text.splitlines()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error:")]
    kept = [line for line in errors if not _SUMMARIES.search(line)] or errors
    plain = [line for line in lines if line and not re.match(r"code: \d+$|stdout:$|stderr:$", line)]
    return (kept or plain[-1:] or ["the engine failed and said nothing"])[0][:600]
