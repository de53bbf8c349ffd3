"""Turns the engine's event stream into ours, and keeps what was seen."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from blueprints.billing import Resource
from blueprints.layers import Layer
from stacks.engine import naming
from stacks.engine.events import (
    Diagnostic,
    Event,
    Planned,
    ResourceFailed,
    ResourceFinished,
    ResourceStarted,
    Step,
    Verb,
)
from stacks.engine.history import History
from stacks.local.kinds import STATEFUL
from stacks.policy.results import PolicyReport

_VERBS = {
    "create": Verb.CREATE,
    "update": Verb.UPDATE,
    "delete": Verb.DELETE,
    "same": Verb.SAME,
    "read": Verb.READ,
    "refresh": Verb.REFRESH,
    "replace": Verb.REPLACE,
    "create-replacement": Verb.REPLACE,
    "delete-replaced": Verb.REPLACE,
    "read-replacement": Verb.READ,
    "import": Verb.CREATE,
    "discard": Verb.DELETE,
    "discard-replaced": Verb.REPLACE,
    "remove-pending-replace": Verb.REPLACE,
}
_QUIET = (Verb.SAME, Verb.READ)
_ORDER = {layer: position for position, layer in enumerate(Layer)}


class Watcher:
    """Listens to one operation of the engine.

    Args:
        operation: ``preview``, ``up``, ``refresh`` or ``destroy``.
        on_event: Who hears our events.
        history: Seconds of earlier operations.
        policy: Hears what the rules say.
    """

    def __init__(
        self,
        operation: str,
        on_event: Callable[[Event], object],
        history: History,
        policy: PolicyReport | None = None,
    ) -> None:
        self.operation = operation
        self.policy = policy or PolicyReport()
        self.diagnostics: list[Diagnostic] = []
        self.failed: list[Step] = []
        self._say = on_event
        self._history = history
        self._steps: dict[str, Step] = {}
        self._drift: dict[str, tuple[str, ...]] = {}
        self._found: dict[str, Step] = {}
        self._refreshing: set[str] = set()
        self._began: dict[str, float] = {}
        self.outputs_change = False
        self.urls: dict[str, str] = {}
        self._before: dict[str, Resource] = {}
        self._after: dict[str, Resource] = {}

    @property
    def steps(self) -> tuple[Step, ...]:
        """What was planned or done, in tree order: by layer, components first."""

        def place(step: Step) -> tuple[int, bool]:
            layer = _ORDER[step.layer] if step.layer is not None else len(_ORDER)
            return (layer, step.type != "component")

        return tuple(sorted(self._steps.values(), key=place))

    @property
    def before(self) -> tuple[Resource, ...]:
        """Every resource as recorded before the operation, layers left out."""
        return tuple(self._before.values())

    @property
    def after(self) -> tuple[Resource, ...]:
        """Every resource that is, or would be, there after it."""
        return tuple(self._after.values())

    @property
    def found(self) -> tuple[Step, ...]:
        """What the refresh found to differ from the recorded state, whatever the program wants: deleted, or
        with the properties that changed and, in ``detail``, their recorded and true values."""
        return tuple(self._found.values())

    @property
    def errors(self) -> list[Diagnostic]:
        """What the engine called an error."""
        return [each for each in self.diagnostics if each.severity == "error"]

    def __call__(self, event: Any) -> None:
        """Take one event of the engine."""
        if event.resource_pre_event is not None:
            self._starting(event.resource_pre_event.metadata)
        elif event.res_outputs_event is not None:
            self._finished(event.res_outputs_event.metadata)
        elif event.res_op_failed_event is not None:
            self._fails(event.res_op_failed_event.metadata)
        elif event.diagnostic_event is not None:
            self._diagnosed(event.diagnostic_event)
        elif event.policy_event is not None:
            said = event.policy_event
            self.policy.hear(said.policy_name, said.resource_urn or "", plain_text(said.message))

    def _starting(self, metadata: Any) -> None:
        if naming.is_plumbing(metadata.type):
            return
        step = self._step(metadata)
        self._began[metadata.urn] = time.monotonic()
        self._account(metadata, step)
        if step.verb is Verb.REFRESH:
            self._refreshing.add(metadata.urn)
            if self.operation != "refresh":
                return
        else:
            self._keep(step)
        if self.operation == "preview":
            self._say(Planned(self._steps[step.urn]))
        elif step.verb not in _QUIET:
            self._say(ResourceStarted(step, self._history.expected(step)))

    def _account(self, metadata: Any, step: Step) -> None:
        """Keep the resource as it was and as it will be; components are no resources of their own."""
        if step.verb is Verb.READ:
            return  # somebody else's, only looked up

        def resource(state: Any) -> Resource:
            return Resource(metadata.type, step.name, step.layer, state.inputs or {})

        if metadata.old is not None and metadata.old.custom:
            self._before.setdefault(metadata.urn, resource(metadata.old))
        # A refresh shows the recorded inputs on both sides; the step that follows has the program's.
        if metadata.new is not None and metadata.new.custom and step.verb is not Verb.REFRESH:
            self._after[metadata.urn] = resource(metadata.new)

    def _finished(self, metadata: Any) -> None:
        if metadata.type == naming.STACK:
            self._outputs(metadata)
        if naming.is_plumbing(metadata.type):
            return
        refreshed = metadata.urn in self._refreshing
        if self.operation == "preview" and not refreshed:
            return  # told when it was planned
        step = self._step(metadata)
        seconds = time.monotonic() - self._began.get(metadata.urn, time.monotonic())
        if refreshed:
            self._refreshing.discard(metadata.urn)
            self._refreshed(metadata, step, seconds)
            return
        self._keep(step)
        if step.verb not in _QUIET:
            self._history.note(step, seconds)
            self._say(ResourceFinished(step, seconds))

    def _outputs(self, metadata: Any) -> None:
        """The program has ended and its outputs are known, secret ones masked."""
        before = metadata.old.outputs if metadata.old else None
        after = metadata.new.outputs if metadata.new else None
        self.outputs_change = (before or {}) != (after or {})
        urls = (after or {}).get("urls")
        self.urls = dict(urls) if isinstance(urls, Mapping) else {}

    def _refreshed(self, metadata: Any, step: Step, seconds: float) -> None:
        """The truth about a resource is known; a difference explains the step that follows."""
        # A preview still calls it a refresh, one that ends with nothing.
        if step.verb is Verb.DELETE or metadata.new is None:
            self._drift[step.urn] = ("gone",)
            self._found[step.urn] = replace(step, verb=Verb.DELETE)
        elif step.changed:
            self._drift[step.urn] = step.changed
            recorded, true = (
                naming.properties(each.outputs if each else None) for each in (metadata.old, metadata.new)
            )
            self._found[step.urn] = replace(step, detail=_detail(recorded, true, step.changed))
        if self.operation == "refresh":
            self._steps[step.urn] = step
            self._say(ResourceFinished(step, seconds))

    def _fails(self, metadata: Any) -> None:
        step = self._step(metadata)
        self.failed.append(step)
        began = self._began.get(metadata.urn, time.monotonic())
        self._say(ResourceFailed(step, time.monotonic() - began))

    def _diagnosed(self, event: Any) -> None:
        severity = str(event.severity).removesuffix("#err")
        message = plain_text(f"{event.prefix or ''}{event.message or ''}")
        if event.ephemeral or severity == "debug" or not message:
            return
        known = severity if severity in ("warning", "error") else "info"
        diagnostic = Diagnostic(known, message, event.urn or "")
        self.diagnostics.append(diagnostic)
        self._say(diagnostic)

    def _keep(self, step: Step) -> None:
        """Remember a step. The parts of a replacement (create, delete) are one; a deletion never hides it."""
        earlier = self._steps.get(step.urn)
        if earlier is None or earlier.verb is not Verb.REPLACE or step.verb is Verb.REPLACE:
            merged = step if earlier is None or step.changed else _with_changes(step, earlier)
            self._steps[step.urn] = merged

    def _step(self, metadata: Any) -> Step:
        operation = str(getattr(metadata.op, "value", metadata.op))
        verb = _VERBS.get(operation, Verb.SAME)
        old = naming.properties(metadata.old.inputs if metadata.old else None)
        new = naming.properties(metadata.new.inputs if metadata.new else None)
        changed = _changed(metadata, verb)
        drift = self._drift.get(metadata.urn, ())
        because = ""
        if drift and verb not in (Verb.SAME, Verb.REFRESH):
            because = "it was gone" if drift == ("gone",) else f"found changed: {', '.join(drift)}"
        return Step(
            urn=metadata.urn,
            type=naming.type_of(metadata.type),
            name=naming.name_of(metadata.urn),
            layer=naming.layer_of(metadata.urn),
            verb=verb,
            stateful=metadata.type in STATEFUL,
            changed=changed,
            because=because,
            detail=_detail(old, new, changed),
        )


def _with_changes(step: Step, earlier: Step) -> Step:
    """The finished step, with what the planned one knew: results carry no differences."""
    return replace(
        step, changed=earlier.changed, because=step.because or earlier.because, detail=earlier.detail
    )


def _changed(metadata: Any, verb: Verb) -> tuple[str, ...]:
    if verb in (Verb.SAME, Verb.CREATE, Verb.DELETE):
        return ()
    keys = [*(metadata.detailed_diff or {}), *(metadata.diffs or ()), *(metadata.keys or ())]
    return tuple(dict.fromkeys(key for key in keys if not key.startswith("__")))


def _detail(
    old: tuple[tuple[str, str], ...], new: tuple[tuple[str, str], ...], changed: tuple[str, ...]
) -> tuple[tuple[str, str, str], ...]:
    before, after = dict(old), dict(new)
    roots = {path.replace("[", ".").split(".")[0] for path in changed}
    return tuple(
        (key, before.get(key, ""), after.get(key, ""))
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key) or key in roots
    )


def plain_text(message: str) -> str:
    """A message without Pulumi's colour marks (``<{%reset%}>``)."""
    import re

    return re.sub(r"<\{%.*?%\}>|\x1b\[[0-9;]*m", "", message).strip()
