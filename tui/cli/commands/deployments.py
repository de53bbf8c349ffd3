"""``modelyard deployments``: what the gateway serves, arm by arm, and how far its rollouts are."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from blueprints.errors import ExitCode, UsageProblem
from tui.cli.output import Output, duration, since
from tui.widgets.words import plural

if TYPE_CHECKING:
    from mlops.serving.client import Deployment

_HEADS = (
    *("model", "arm", "version", "share", "state", "kind", "requests", "errors"),
    *("per s", "p50 ms", "p95 ms", "p99 ms", "why"),
)
_EVENTS = 8
_SIGNS = {"well": "●", "changing": "◐", "failing": "▲", "degraded": "△", "off": "○"}


def add(parser: ArgumentParser, name: str) -> None:
    """Declare the options."""
    parser.add_argument(
        "model", metavar="MODEL", nargs="?", default="", help="one model: its rollout, verdicts and events"
    )


def run(args: Namespace, out: Output) -> int:
    """A line per arm; of one model also its rollout."""
    from tui.session import Session

    with Session.open(args.folder, args.environment) as session:
        found = session.gateway().deployments()
    if args.model:
        item = next((each for each in found if each.model == args.model), None)
        if item is None:
            raise UsageProblem(
                f"no model {args.model} is served",
                where="deployments",
                expected=" or ".join(each.model for each in found) or "a model with the alias champion",
                todo="modelyard models",
            )
        show((item,), out)
        _rollout(item, out, time.time())
        out.document(item)
        return ExitCode.DONE
    show(found, out)
    if not found:
        out.say(
            "nothing is served: modelyard deploy MODEL@VERSION serves one, and so does the alias champion"
        )
    out.document({"deployments": found})
    return ExitCode.DONE


def show(found: Sequence[Deployment], out: Output) -> None:
    """The table, and a line for each rollout that is not over or went back."""
    from tui import rollouts

    out.table(_HEADS, [row for item in found for row in _arms(item)], right=(2, 3, 6, 7, 8, 9, 10, 11))
    for item in found:
        rollout, marks = item.desired.rollout, _marks(item)
        if rollout is not None and rollout.phase != "done":
            name = f"v{rollout.candidate} " if rollout.active else ""
            out.line(f"{item.model}: {name}{rollouts.cell(item, time.time())}")
        if marks:
            out.line(f"{item.model}: {marks}")


def _arms(item: Deployment) -> list[tuple[object, ...]]:
    """Rows of the table, the champion's reason where no arm has one of its own."""
    if not item.arms:
        return [(item.model, "–", item.version, None, item.state, *[None] * 7, item.reason)]
    from tui import rollouts

    spoken = any(arm.reason for arm in item.arms)
    return [
        (
            item.model,
            arm.name,
            arm.version,
            rollouts.portion(arm),
            item.state if not at and arm.state == "serving" else arm.state,
            arm.kind,
            arm.requests,
            arm.failed,
            arm.rate_per_second,
            arm.p50_ms,
            arm.p95_ms,
            arm.p99_ms,
            arm.reason or (item.reason if not at and not spoken else ""),
        )
        for at, arm in enumerate(item.arms)
    ]


def _marks(item: Deployment) -> str:
    desired = item.desired
    parts = [f"frozen ({desired.frozen})"] if desired.frozen else []
    for arm in item.arms:
        if arm.name == "shadow":
            apart = f", largest difference {arm.difference:.3g}" if arm.difference is not None else ""
            parts.append(f"shadow v{arm.version} ({arm.dropped} copies dropped{apart})")
    if desired.flags.rules:
        parts.append(
            f"{plural(len(desired.flags.rules), 'flag rule')}, {'on' if desired.flags.on else 'off'}"
        )
    return "; ".join(parts)


def _rollout(item: Deployment, out: Output, now: float) -> None:
    """Steps, verdicts and events of one model."""
    from tui import rollouts

    desired, rollout = item.desired, item.desired.rollout
    if rollout is not None:
        out.line()
        title = f"rollout of v{rollout.candidate}, {rollout.strategy.to_text()}, by {rollout.by or '–'}"
        out.line(f"{title}: {rollout.phase}{f', {rollout.reason}' if rollout.reason else ''}")
        for at, step in enumerate(rollout.strategy.steps):
            words = [rollouts.share(step), rollouts.conditions(step)]
            if rollout.active and at == rollout.step:
                words += rollouts.left(item, now)
            sign = _SIGNS[rollouts.reached(rollout, at)]
            out.line(f"  {sign} {at + 1}  {' · '.join(word for word in words if word)}")
        out.line()
        heads = ("", "gate", "verdict", "value", "interval", "tolerance", "what it says")
        rows = [
            (
                *(rollouts.mark(each), each.gate, each.verdict),
                *rollouts.figures(each),
                rollouts.sentence(each),
            )
            for each in item.verdicts
        ]
        out.table(heads, rows)
    if desired.previous and desired.keep_until > now:
        out.line(f"\nv{desired.previous} stays loaded for {duration(desired.keep_until - now)}")
    out.line()
    out.table(
        ("when", "who", "what"),
        [(since(each.at * 1000), each.by, each.text) for each in reversed(desired.events[-_EVENTS:])],
    )
