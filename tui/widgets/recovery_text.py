"""Recovery as text for a width: the faults, the record's word beside the machine's; and a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from stacks.engine.events import Plan, Verb
from stacks.policy.results import headline
from tui.themes import Palette
from tui.widgets.words import clip_middle, hanging

if TYPE_CHECKING:
    from stacks.engine.diagnosis import Diagnosis, Fault

#: From this width a fault is one line of a table, below it two lines.
_WIDE = 100
_WIDEST_NAME = 48
_GAP = 3


def faults_text(found: Diagnosis, root: str, width: int, tint: Palette) -> Text:
    """The faults that the next step mends, then the others; paths of the project relative to its ``root``."""
    now = [each for each in found.faults if each.remedy is found.remedy]
    later = [each for each in found.faults if each.remedy is not found.remedy]
    text = Text()
    columns = _columns(found.faults, width)
    if columns:
        heads = ("resource", "what is wrong", "record", "machine")
        text.append("  " + _padded(heads, columns) + "\n", tint.dim)
    for faults, heading in ((now, ""), (later, "for a later step")):
        if heading and faults:
            text.append(f"\n{heading}\n", tint.dim)
        for each in faults:
            _fault(text, each, root, width, columns, tint)
    text.rstrip()
    return text


def _columns(faults: tuple[Fault, ...], width: int) -> tuple[int, ...]:
    """Widths of the first three columns of a table; none where it does not fit or has nothing to compare."""
    told = [each for each in faults if each.resource]
    if width < _WIDE or not told:
        return ()
    name = min(_WIDEST_NAME, max(len(each.resource) for each in told))
    return (
        max(name, len("resource")),
        max(len("what is wrong"), *(len(each.what) for each in told)),
        max(len("record"), *(len(each.recorded) for each in told)),
    )


def _padded(cells: tuple[str, ...], columns: tuple[int, ...]) -> str:
    parts = [f"{cell:<{width + _GAP}}" for cell, width in zip(cells, columns, strict=False)]
    return "".join([*parts, *cells[len(columns) :]])


def _fault(text: Text, fault: Fault, root: str, width: int, columns: tuple[int, ...], tint: Palette) -> None:
    what, truth = near(fault.what, root), near(fault.truth, root)
    text.append("△ ", tint.warn)
    if not fault.resource:
        text.append(f"{hanging(what, width, 2)}\n")
    elif columns:
        name, wrong, record = columns
        before = (clip_middle(fault.resource, name), what, fault.recorded)
        indent = 2 + name + wrong + record + 3 * _GAP
        text.append(_padded(before, columns))
        text.append(f"{hanging(truth, width, indent)}\n")
    else:
        room = width - len(what) - len("△ : ")
        text.append(f"{clip_middle(fault.resource, max(12, room))}: {what}\n")
        told = f"{fault.recorded}; on the machine: {truth}"
        text.append(f"    {hanging(told, width, 4)}\n", tint.dim)


def plan_text(plan: Plan, width: int, tint: Palette) -> Text:
    """What ``up`` would do, a line a resource, dangers first."""
    steps = [
        step
        for step in plan.steps
        if step.type not in ("component", "stack", "provider")
        and step.verb not in (Verb.SAME, Verb.READ, Verb.REFRESH)
    ]
    counts = [
        f"{sum(step.verb is verb for step in steps)} to {verb.value}"
        for verb in (Verb.CREATE, Verb.UPDATE, Verb.REPLACE, Verb.DELETE)
        if any(step.verb is verb for step in steps)
    ]
    told = [f"modelyard up: {', '.join(counts) or 'nothing to change'}"]
    if plan.policy:
        told.append(headline(plan.policy))
    text = Text.assemble((" · ".join(told), "bold"), "\n")
    # The engine works on many at once: without an order of its own the list would change from look to look.
    for step in sorted(steps, key=lambda step: (not step.dangerous, step.type, step.name)):
        because = step.because or ", ".join(step.changed)
        line = clip_middle(f"  {step.verb.symbol} {step.type} {step.name}  {because}".rstrip(), width - 20)
        text.append(line)
        text.append("  ▲ data may be lost\n" if step.dangerous else "\n", tint.bad)
    text.rstrip()
    return text


def near(sentence: str, root: str) -> str:
    """``sentence`` with the project's own paths relative to its ``root``."""
    return sentence.replace(f"{root}/", "")
