"""A deployment drawn in characters: split bars, arms side by side, gates, the line of steps."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.text import Text

from tui import rollouts
from tui.themes import Palette
from tui.widgets.charts import bar
from tui.widgets.symbols import SYMBOLS, State, colour
from tui.widgets.words import UNKNOWN, ago, clip, clip_middle, hanging, moment, number

if TYPE_CHECKING:
    from mlops.serving.client import Arm, Deployment
    from mlops.serving.rollout.state import Rollout, Verdict

#: Cells of the bar in the list.
MINI = 8
_ARM = 12
_LABEL = 14
_VERDICTS: dict[str, State] = {"pass": "well", "fail": "failing", "inconclusive": "changing"}
_PHASES: dict[str, State] = {"paused": "degraded", "frozen": "failing", "failed": "degraded", "done": "well"}


def of_rollout(item: Deployment) -> State:
    """State of the last rollout: none is off."""
    rollout = item.desired.rollout
    return _PHASES.get(rollout.phase, "changing") if rollout else "off"


def mini(item: Deployment) -> str:
    """The split in a cell: heavy is the champion's share. A share that is not nothing has a cell."""
    weights = [arm.weight for arm in item.arms if arm.weight > 0]
    other = sum(weights[1:])
    cells = min(MINI - 1, max(1, round(other * MINI))) if other else 0
    if other >= 1:
        cells = MINI
    return "━" * (MINI - cells) + "─" * cells if weights else UNKNOWN


def marks(item: Deployment) -> str:
    """Frozen, shadow and flags: in words while there is one, else as symbols alone."""
    found = []
    if item.desired.frozen is not None:
        found.append((SYMBOLS["protected"], "", "frozen"))
    shadow = next((arm.version for arm in item.arms if arm.name == "shadow"), item.desired.shadow)
    if shadow:
        found.append((SYMBOLS["changing"], f"v{shadow}", f"shadow v{shadow}"))
    rules = len(item.desired.flags.rules)
    if rules:
        sign = SYMBOLS["well" if item.desired.flags.on else "off"]
        found.append((sign, f"{rules}", f"{rules} flag{'s' * (rules > 1)}"))
    if len(found) == 1:
        return f"{found[0][0]} {found[0][2]}"
    return " ".join(sign + short for sign, short, _ in found)


def heading(item: Deployment, width: int, tint: Palette, now: float) -> Text:
    """How it is, and what is on its way, in a line or two each."""
    text = Text()
    state = item.state
    if item.reason:
        _line(text, "failing" if state == "failed" else "degraded", item.reason, width, tint)
    if item.desired.frozen is not None:
        _line(
            text, "protected", f"frozen, nothing is deployed or promoted: {item.desired.frozen}", width, tint
        )
    rollout = item.desired.rollout
    if rollout is None:
        return text
    name = f"v{rollout.candidate}"
    if rollout.active:
        words = " · ".join([f"{name} {rollouts.place(rollout)}", *rollouts.left(item, now)])
        _line(text, of_rollout(item), words, width, tint)
        if rollout.reason and rollout.phase in ("paused", "frozen"):
            text.append(f"  {hanging(rollout.reason, width, 2)}\n", tint.dim)
    elif rollout.phase == "failed":
        _line(text, of_rollout(item), f"{name} went back: {rollout.reason}", width, tint)
    return text


def _line(text: Text, state: State, words: str, width: int, tint: Palette) -> None:
    text.append(f"{SYMBOLS[state]} {hanging(words, width, 2)}\n", colour(state, tint))


def split(item: Deployment, width: int, tint: Palette) -> Text:
    """A bar for each arm that has a share."""
    text = Text()
    dealt = [arm for arm in item.arms if arm.weight > 0]
    name = max((len(arm.name) for arm in dealt), default=0)
    version = max((len(arm.version) for arm in dealt), default=0) + 1
    room = max(10, min(60, width - name - version - 10))
    for arm in dealt:
        filled = bar(arm.weight, room)
        text.append(f"{arm.name:<{name}} {'v' + arm.version:<{version}} ")
        text.append(filled)
        text.append("░" * (room - len(filled)), tint.dim)
        text.append(f" {rollouts.portion(arm):>6}\n")
    return text


def arms(item: Deployment, width: int, tint: Palette) -> Text:
    """The arms as columns side by side, as many as fit; the others below them."""
    text = Text()
    each = max(1, (width - _LABEL) // _ARM)
    for at in range(0, len(item.arms), each):
        part = item.arms[at : at + each]
        if at:
            text.append("\n")
        for label, cells, style in _arm_lines(part, tint):
            text.append(f"{clip(label, _LABEL - 1):<{_LABEL}}", tint.dim)
            text.append("".join(f"{clip(cell, _ARM - 1):>{_ARM}}" for cell in cells) + "\n", style)
    for arm in item.arms:
        if arm.reason:
            _line(text, "failing", f"{arm.name} v{arm.version}: {arm.reason}", width, tint)
    return text


def _arm_lines(part: tuple[Arm, ...], tint: Palette) -> list[tuple[str, list[str], str]]:
    rows: list[tuple[str, list[str], str]] = [
        ("", [arm.name for arm in part], "bold"),
        ("version", [f"v{arm.version}" for arm in part], ""),
        ("share", [rollouts.portion(arm) for arm in part], ""),
        ("kind", [arm.kind or arm.state for arm in part], ""),
        ("rows/s", [number(arm.rate_per_second, 3) for arm in part], ""),
        ("p50 ms", [number(arm.p50_ms, 3) for arm in part], ""),
        ("p95 ms", [number(arm.p95_ms, 3) for arm in part], ""),
        ("p99 ms", [number(arm.p99_ms, 3) for arm in part], ""),
        ("requests", [number(arm.requests) for arm in part], ""),
        ("errors", [rollouts.share_of_errors(arm.failed, arm.requests) for arm in part], ""),
    ]
    classes = sorted({name for arm in part for name, count in arm.errors.items() if count})
    rows += [(f"  {name}", [number(arm.errors.get(name, 0)) for arm in part], "") for name in classes]
    if any(arm.name == "shadow" for arm in part):
        shadow = [arm if arm.name == "shadow" else None for arm in part]
        rows.append(("dropped", [number(a.dropped) if a else "" for a in shadow], ""))
        rows.append(("largest diff", [number(a.difference, 3) if a else "" for a in shadow], ""))
    return rows


def gates(item: Deployment, width: int, tint: Palette) -> Text:
    """A verdict a gate: symbol, value, interval, tolerance, and below it the sentence."""
    text = Text()
    name = min(24, max((len(each.gate) for each in item.verdicts), default=0))
    for each in item.verdicts:
        text.append_text(_gate(each, name, width, tint))
    return text


def _gate(verdict: Verdict, name: int, width: int, tint: Palette) -> Text:
    state = _VERDICTS[verdict.verdict]
    value, interval, limit = rollouts.figures(verdict)
    text = Text.assemble((f"{SYMBOLS[state]} ", colour(state, tint)), f"{clip(verdict.gate, name):<{name}} ")
    words = {"pass": "pass", "fail": "fail", "inconclusive": "no verdict"}[verdict.verdict]
    text.append(f" {words:<10}", colour(state, tint))
    figures = f" {value:>9}  {limit}"
    if interval != UNKNOWN:
        figures += f"  ({interval})"
    if 2 + name + 1 + 11 + len(figures) > width:
        figures = f" {value:>9}  {limit}"
    text.append(f"{figures}\n")
    text.append(f"  {hanging(rollouts.sentence(verdict), width, 2)}\n", tint.dim)
    return text


def steps(rollout: Rollout, width: int, tint: Palette) -> Text:
    """``5 % ●──── 25 % ◐──── 100 % ○``, in as many lines as it takes."""
    text, used = Text(), 0
    ways = rollout.strategy.steps
    for at, step in enumerate(ways):
        state = rollouts.reached(rollout, at)
        last = at == len(ways) - 1
        piece = len(rollouts.share(step)) + 2 + (0 if last else 5)
        if used and used + piece > width:
            text.append("\n")
            used = 0
        here = at == rollout.step and rollout.active and rollout.loaded
        text.append(f"{rollouts.share(step)} ", "bold" if here else "" if at <= rollout.step else tint.dim)
        text.append(SYMBOLS[state], colour(state, tint))
        if not last:
            text.append("──── ", tint.dim)
        used += piece
    text.append("\n")
    return text


def events(item: Deployment, width: int, tint: Palette, most: int = 8) -> Text:
    """What happened last, the newest first: when, who, what."""
    text = Text()
    for each in reversed(item.desired.events[-most:]):
        at = datetime.fromtimestamp(each.at, UTC)
        text.append(f"{ago(at):>10}  ")
        text.append(f"{clip_middle(each.by, max(8, width - 34))}  {moment(at)}\n", tint.dim)
        text.append(f"{'':<12}{hanging(each.text, width, 12)}\n")
    return text


def prose(sentences: list[str], width: int, style: str) -> Text:
    """Sentences, each in lines of its own."""
    return Text("".join(f"{hanging(each, width, 0)}\n" for each in sentences), style)


def rules(item: Deployment, width: int, tint: Palette) -> Text:
    """The flag rules, and their switch."""
    from mlops.serving.rollout.rules import rule_text

    flags: Any = item.desired.flags
    text = Text()
    state: State = "well" if flags.on else "off"
    text.append(f"{SYMBOLS[state]} {'on' if flags.on else 'off'}", colour(state, tint))
    text.append("  the first rule that matches decides\n", tint.dim)
    for rule in flags.rules:
        what, _, version = rule_text(rule).rpartition(":")
        text.append(f"  {clip_middle(what, width - 10)} → v{version}\n")
    return text
