"""A deployment in words: how far its rollout is, what is left of the step, what a strategy will do.

Plain text, for the command line and the console. Figures that are not known are left out, never made up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from tui.widgets.words import UNKNOWN, number, seconds

if TYPE_CHECKING:
    from mlops.serving.client import Arm, Deployment
    from mlops.serving.rollout.gates import Gate
    from mlops.serving.rollout.state import Rollout, Verdict
    from mlops.serving.rollout.strategy import Step, Strategy

#: What can be written after a strategy's name, a line each.
KINDS = {
    "rolling": "in quarters; gates only guard",
    "blue-green": "copies, then all at once",
    "canary": "step by step, each one judged",
    "shadow": "copies, then a person decides",
    "ab": "two arms until one is better",
}
#: Between a number, its sign and its unit no line ends.
_UNIT = re.compile(r"(?<=\d) (?=%|(?:s|min|h|d)\b)|(?<=≤) ")
Reached = Literal["well", "changing", "failing", "degraded", "off"]
_MARKS = {"pass": "●", "fail": "▲", "inconclusive": "◐"}


def mark(verdict: Verdict) -> str:
    """The symbol of a verdict."""
    return _MARKS[verdict.verdict]


def clock(left: float) -> str:
    """Time that runs down: ``04:12``, ``2:04:12``, ``3 d``."""
    if left >= 86_400:
        return seconds(left)
    minutes, rest = divmod(int(left + 0.999), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


def share(step: Step) -> str:
    """What the candidate gets at a step: ``25 %``, or ``copies``."""
    return f"{step.weight:g} %" if step.weight else "copies"


def place(rollout: Rollout, short: bool = False) -> str:
    """``canary 25 % · step 3 of 5``, short ``canary 25 % · 3/5``; at first ``canary · loading``."""
    kind, steps = _kind(rollout.strategy.kind), rollout.strategy.steps
    if not rollout.loaded:
        return f"{kind} · loading"
    what = f"{kind} {share(steps[rollout.step])}"
    if len(steps) < 2:
        return what
    here, all_ = rollout.step + 1, len(steps)
    return f"{what} · {here}/{all_}" if short else f"{what} · step {here} of {all_}"


def _kind(kind: str) -> str:
    return "A/B" if kind == "ab" else kind


def left(item: Deployment, now: float) -> list[str]:
    """What the present step waits for, the most telling first; empty: nothing, or nobody knows.

    Args:
        item: The deployment.
        now: Seconds since the epoch.
    """
    rollout = item.desired.active
    if rollout is None or not rollout.loaded:
        return []
    if rollout.phase in ("paused", "frozen"):
        return ["paused" if rollout.phase == "paused" else "held by a failed gate"]
    step, found = rollout.strategy.steps[rollout.step], []
    remaining = rollout.since + step.seconds - now
    if step.seconds and remaining > 0:
        found.append(f"{clock(remaining)} left")
    more = missing(item)
    if more:
        found.append(f"{number(more)} more")
    undecided = [each.gate for each in item.verdicts if each.verdict == "inconclusive"]
    if not more and undecided and rollout.strategy.on_inconclusive != "proceed":
        found.append(f"no verdict of {', '.join(undecided)}")
    if step.manual or rollout.strategy.kind == "shadow":
        found.append("then a person decides")
    return found


def missing(item: Deployment) -> int | None:
    """About how many more samples of the candidate the step needs; None: not known, or none."""
    rollout = item.desired.active
    if rollout is None or not rollout.loaded:
        return None
    more = [0]
    if rollout.strategy.on_inconclusive != "proceed":
        more += [each.needed or 0 for each in item.verdicts if each.verdict == "inconclusive"]
    if item.step_requests is not None:
        more.append(rollout.strategy.steps[rollout.step].samples - item.step_requests)
    return max(more) if max(more) > 0 else None


def cell(item: Deployment, now: float, short: bool = False) -> str:
    """The rollout in one cell: ``canary 25 % · step 3 of 5 · 412 more``."""
    rollout = item.desired.rollout
    if rollout is None:
        return UNKNOWN
    if not rollout.active:
        if rollout.phase == "done":
            return f"v{rollout.candidate} arrived"
        return f"v{rollout.candidate} went back: {rollout.reason}"
    return " · ".join([place(rollout, short), *left(item, now)[:1]])


def portion(arm: Arm) -> str:
    """How traffic comes to an arm: ``25 %``, ``copies``, by flag rules, or because a caller names it."""
    by_name = {"shadow": "copies", "flag": "by rule", "explicit": "by name"}
    return by_name.get(arm.name) or f"{arm.weight * 100:g} %"


def reached(rollout: Rollout, at: int) -> Reached:
    """How a step of a rollout is: behind, here, ahead."""
    if rollout.phase == "done" or at < rollout.step:
        return "well"
    if at > rollout.step or (rollout.active and not rollout.loaded):
        return "off"
    if rollout.phase in ("failed", "frozen"):
        return "failing"
    return "degraded" if rollout.phase == "paused" else "changing"


def share_of_errors(failed: int, requests: int) -> str:
    """``0.12%``; ``–`` without a request. A failure is never rounded to none."""
    if not requests:
        return UNKNOWN
    return "<0.01%" if 0 < failed / requests < 0.0001 else f"{failed / requests:.2%}"


def figures(verdict: Verdict) -> tuple[str, str, str]:
    """Value, interval and tolerance of a verdict, each in the unit of the gate; unknown is a dash."""
    plain = verdict.gate == "drift"

    def text(value: float | None, sign: str = "+") -> str:
        if value is None:
            return UNKNOWN
        return f"{value:.3f}" if plain else f"{value * 100:{sign}.3g} %"

    interval = UNKNOWN
    if verdict.low is not None or verdict.high is not None:
        interval = f"{text(verdict.low)} to {text(verdict.high)}"
    limit = f"{verdict.tolerance:g}" if plain else f"{verdict.tolerance * 100:.3g} %"
    asked = ">" if verdict.gate.startswith("better") else "≤"
    return text(verdict.value), interval, f"{asked} {limit}"


def sentence(verdict: Verdict) -> str:
    """What the gate says, without its name in front."""
    return verdict.sentence.removeprefix(f"{verdict.gate}: ") or "nothing measured yet"


def conditions(step: Step) -> str:
    """``for at least 2 min and 200 requests``; empty: only the gates decide."""
    parts = [spell(step.seconds)] if step.seconds else []
    parts += [f"{number(step.samples)} requests"] if step.samples else []
    text = f"for at least {' and '.join(parts)}" if parts else ""
    return f"{text} until a person promotes".strip() if step.manual else text


def spell(value: float) -> str:
    """A duration that was chosen, exactly: ``90 s``, ``2 min``, ``1.5 h``."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if value >= size and (value / size * 2).is_integer():
            return f"{value / size:g} {unit}"
    return f"{value:g} s"


def strategy(way: Strategy, candidate: str, champion: str) -> list[str]:
    """What the strategy will do, a sentence each.

    Args:
        way: The strategy.
        candidate: The version that comes in, as ``v8``.
        champion: The version that answers now, as ``v7``.
    """
    path = f"{candidate} is loaded, then gets {_moves([step for step in way.steps if step.weight < 100])}"
    path += f", then everything from {champion}." if way.kind != "shadow" else "; a person decides."
    guard = {
        "rolling": f"A gate that fails ends it; none has to pass: {_gates(way.gates)}.",
        "ab": f"It ends when {_gates(way.gates)} are decided.",
    }.get(way.kind, f"At each step these have to pass against {champion}: {_gates(way.gates)}.")
    failing = (
        f"A fail gives all traffic back to {champion}"
        if way.on_fail == "rollback"
        else "A fail holds the traffic as it is, until a person decides"
    )
    kept = f"{champion} stays loaded for {spell(way.keep_seconds)} afterwards."
    found = [path, guard, f"{failing}. Without a verdict: {_undecided(way)}."]
    if way.kind != "shadow" and way.keep_seconds:
        found.append(kept)
    return [_UNIT.sub("\N{NO-BREAK SPACE}", each) for each in found]


def _moves(steps: Sequence[Step]) -> str:
    """``5 %, 25 %, 50 % of the traffic, each for at least 1 min``."""
    waits = [conditions(step) for step in steps]
    shares = [f"{step.weight:g} %" if step.weight else "copies" for step in steps]
    if len(set(waits)) == 1:
        each = f", each {waits[0]}" if len(steps) > 1 else f" {waits[0]}"
        return f"{', '.join(shares)} of the traffic{each if waits[0] else ''}"
    return ", then ".join(f"{what} {wait}".rstrip() for what, wait in zip(shares, waits, strict=True))


def _gates(gates: Iterable[Gate]) -> str:
    return ", ".join(f"{gate.name} ({_limit(gate)})" for gate in gates)


def _limit(gate: Gate) -> str:
    limit = f"{gate.tolerance:g}" if gate.kind == "drift" else f"{gate.tolerance * 100:.3g} %"
    return f"better by {limit}" if gate.kind == "better" else f"≤ {limit}"


def _undecided(way: Strategy) -> str:
    after = f" after {spell(way.max_wait)}" if way.max_wait else ""
    return {
        "wait": "it waits",
        "pause": f"it is paused{after}",
        "rollback": f"it goes back{after}",
        "proceed": "it goes on, recorded as such",
    }[way.on_inconclusive]
