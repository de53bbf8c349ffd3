"""Deployments: what answers and how well, how far each rollout is and why; and the acts on them. Live."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text

from blueprints.errors import Problem
from tui import deploying, rollouts
from tui.commands_registry import Command, bindings
from tui.screens.acting import Act, ActingPage
from tui.screens.ask import Question
from tui.screens.page import facts, told
from tui.widgets import deployment_text as drawn
from tui.widgets import symbols
from tui.widgets.charts import line_chart, sparkline
from tui.widgets.virtual_table import Column
from tui.widgets.words import UNKNOWN, ago, instant, moment, number, seconds

if TYPE_CHECKING:
    from mlops.serving.client import Deployment
    from mlops.serving.rollout.state import Flags
    from tui.deploying import Offer
    from tui.session import Session

_HOLD = Command("deployments.hold", "p", "hold", "pause", "Pause the rollout, or let it go on")
_PROMOTE = Command(
    "deployments.promote", "P", "promote", "promote", "The rollout's next step, whatever its gates say"
)
_ROLLBACK = Command(
    "deployments.rollback", "R", "rollback", "roll back", "All traffic back to what answered before, at once"
)
_DEPLOY = Command("deployments.deploy", "D", "deploy", "deploy", "Roll a version out: which, and how")
_FREEZE = Command(
    "deployments.freeze", "F", "freeze", "freeze", "Nothing may be deployed or promoted; again: it may"
)
_SHADOW = Command(
    "deployments.shadow", "S", "shadow", "shadow", "Copies of the traffic to a version; again: no more"
)
_FLAGS = Command(
    "deployments.flags", "L", "flags", "flags", "Rules on requests that choose their version; on and off"
)
#: What is typed to promote past all steps.
_END = "end"
#: From this width half the terminal holds the list with nothing left out.
_ROOMY = 160
#: S and R, which sort elsewhere, are acts here.
_LISTS = (
    Command("list.filter", "slash", "filter", "filter", "Filter: words, !word, rate>5, state=failed"),
    Command(
        "deployments.sort", "o", "sort_next", "sort", "Sort by the next column; click a header to choose"
    ),
    Command("deployments.reverse", "O", "sort_reverse", "reverse", "Turn the order round", False),
)
_ACTS = (_HOLD, _PROMOTE, _ROLLBACK, _DEPLOY, _FREEZE, _SHADOW, _FLAGS)


class DeploymentsPage(ActingPage):
    """Every model the gateway serves."""

    title = "Deployments"
    COMMANDS = (*_ACTS, *_LISTS)
    BINDINGS = bindings((*_ACTS, *_LISTS))
    empty = (
        "Nothing is served. Deploy a registered version on the page Models (3, then d), or\n\n"
        "  modelyard deploy MODEL@VERSION\n\n"
        "The gateway also serves every model that has the alias champion. A real one, with traffic:\n\n"
        "  modelyard demo"
    )

    def __init__(self, session: Session) -> None:
        self._rates: dict[str, deque[float]] = {}
        self._protected = ""
        self._beside = False
        super().__init__(session)

    def columns(self) -> Sequence[Column[Any]]:
        model: Column[Any] = Column(
            *("model", "model", 15 if self._beside else 20, lambda d: d.model),
            flexible=True,
            most=40,
            state=lambda d: symbols.of_deployment(d.state),
            middle=True,
        )
        version: Column[Any] = Column(
            "version", "version", 7, lambda d: f"v{d.version}", _numbered, align="right"
        )
        rollout: Column[Any] = Column(
            *("rollout", "rollout", 30 if self._beside else 38),
            lambda d: rollouts.cell(d, time.time(), short=self._beside),
            state=drawn.of_rollout,
            flexible=True,
            most=60,
        )
        # Beside a detail half the room is left, and what the detail does not tell of the others comes first.
        first = (model, rollout, version) if self._beside else (model, version, rollout)
        return (
            *first,
            Column(
                *("rate", "rows/s", 6, lambda d: number(d.rate_per_second, 3), lambda d: d.rate_per_second),
                align="right",
            ),
            Column("p95", "p95 ms", 6, lambda d: number(d.p95_ms, 3), lambda d: d.p95_ms, align="right"),
            Column("errors", "errors", 6, _share, lambda d: d.errors, align="right"),
            Column("split", "split", drawn.MINI, drawn.mini),
            Column("marks", "marks", 9, drawn.marks),
            Column(
                "requests", "requests", 10, lambda d: number(d.requests), lambda d: d.requests, align="right"
            ),
            Column("trend", "rows/s, last 2 min", 24, lambda d: sparkline(self._past(d), 24)),
        )

    def crumb(self, row: Deployment) -> str:
        return f"{row.model} v{row.version}"

    def rhythm(self) -> str:
        row = self.table.selected if self.detail_open else None
        if row is None or row.desired.active is None:
            return super().rhythm()
        return " · ".join([rollouts.place(row.desired.active), *rollouts.left(row, time.time())[:2]])

    def keys(self) -> list[tuple[str, str]]:
        row = self.table.selected
        if row is None:
            return [("3", "models"), ("r", "reload"), ("t", "theme"), ("q", "quit")]
        rollout, words = row.desired.active, dict[str, str]()
        if rollout and rollout.phase in ("paused", "frozen"):
            words["p"] = "resume"
        if row.desired.frozen is not None:
            words["F"] = "unfreeze"
        if row.desired.shadow:
            words["S"] = "shadow off"
        # What would only be refused is left to the help.
        useless = {"D"} if rollout else {"p", "P"}
        return [(key, words.get(key, word)) for key, word in super().keys() if key not in useless]  # noqa: SIM118

    def _past(self, row: Deployment) -> list[float]:
        return list(self._rates.get(row.model, ()))

    def key(self, row: Deployment) -> str:
        return row.model

    def fetch(self) -> tuple[Deployment, ...]:
        self._protected = deploying.protected_by(self.session)
        return self.session.gateway().deployments()

    def show(self) -> None:
        for row in self.rows() if not self.fault else ():
            self._rates.setdefault(row.model, deque(maxlen=60)).append(row.rate_per_second)
        super().show()

    def settle(self) -> None:
        super().settle()
        beside = self.detail_open and not self.alone and self.app.size.width < _ROOMY
        if beside != self._beside:
            self._beside = beside
            self.table.set_columns(self.columns())

    def _chosen(self) -> Deployment | None:
        row: Deployment | None = self.table.selected
        if row is None:
            self.notify("Nothing is served yet; d on the page Models deploys a version.")
        return row

    def _refused(self, problem: Problem) -> None:
        self.notify(told(problem), severity="warning", markup=False)

    def action_hold(self) -> None:
        """Pause the rollout, or let it go on."""
        row = self._chosen()
        if row is None:
            return
        rollout = row.desired.active
        if rollout is None:
            self.notify(f"{row.model} has no rollout to pause.")
        elif rollout.phase in ("paused", "frozen"):
            said = [f"The rollout of v{rollout.candidate} goes on; its step's evidence starts anew."]
            if rollout.phase == "frozen":
                said.append(f"In spite of: {rollout.reason}")
            self.settle_act(Act(row.model, "resume"), said, self._protected, rollout.phase == "frozen")
        else:
            self.do(Act(row.model, "pause"))

    def action_promote(self) -> None:
        """Ask, then move the rollout to its next step."""
        row = self._chosen()
        if row is None:
            return
        try:
            after = deploying.foreseen(row.desired, "promote")
        except Problem as problem:
            self._refused(problem)
            return
        said = [after.events[-1].text]
        if after.active is None:
            said.append(f"v{after.champion} answers everything; v{after.previous} stays loaded for a while.")
            self.settle_act(Act(row.model, "promote"), said, self._protected)
            return

        def promoted(typed: str) -> None:
            end = typed == _END
            ends = [f"v{after.active.candidate if after.active else ''} answers everything at once."]
            act = Act(row.model, "promote", {"full": True} if end else {})
            self.settle_act(act, ends if end else said, self._protected, plain=False)

        def fault(typed: str) -> str:
            return "" if typed in ("", _END) else f"Nothing, or {_END}."

        label = f"{_END}: past all steps at once; nothing: the next step"
        self.ask(Question(f"Promote {row.model}", said, label, fault=fault, do="promote"), promoted)

    def action_rollback(self) -> None:
        """Show what will answer; enter does it."""
        row = self._chosen()
        if row is None:
            return
        try:
            after = deploying.foreseen(row.desired, "rollback")
        except Problem as problem:
            self._refused(problem)
            return
        gone = row.desired.active.candidate if row.desired.active else row.desired.champion
        if after.champion is None:
            said = [f"v{gone} is not loaded, and no version answers: it would have been the first one."]
            self.settle_act(Act(row.model, "rollback"), said, self._protected)
            return
        before = f"v{after.champion}"

        def fault(typed: str) -> str:
            if typed in ("", before):
                return ""
            try:
                deploying.foreseen(row.desired, "rollback", typed.removeprefix("v"))
            except Problem as problem:
                return told(problem)
            return ""

        def rolled(typed: str) -> None:
            to = {} if typed in ("", before) else {"version": typed.removeprefix("v")}
            self.settle_act(Act(row.model, "rollback", to), [], self._protected, plain=False)

        said = [f"{before} answers everything, at once. v{gone} gets nothing any more."]
        self.ask(
            Question(
                f"Roll back {row.model}",
                said,
                "version, if it is to be another one",
                before,
                fault,
                "roll back",
            ),
            rolled,
        )

    def action_flags(self) -> None:
        """Show the rules; add one, remove one, or switch all of them."""
        row = self._chosen()
        if row is None:
            return
        from mlops.serving.rollout.rules import rule_text

        flags = row.desired.flags
        said = [f"{at}  {rule_text(rule)}" for at, rule in enumerate(flags.rules, start=1)]
        said = said or ["No rule yet: every request is dealt by its weights."]
        said.append(f"They are {'on' if flags.on else 'off'}; the first that fits a request decides.")

        def changed(typed: str) -> Flags:
            """What was typed, done to the flags; Problem when it means nothing."""
            if typed in ("on", "off"):
                return deploying.changed_flags(flags, typed)
            if typed.isdigit() and 0 < int(typed) <= len(flags.rules):
                return deploying.changed_flags(flags, "remove", rule_text(flags.rules[int(typed) - 1]))
            return deploying.changed_flags(flags, "add", typed)

        def fault(typed: str) -> str:
            try:
                changed(typed)
            except Problem as problem:
                return told(problem)
            return ""

        def settled(typed: str) -> None:
            act = Act(row.model, "flag", {"flags": changed(typed).model_dump(mode="json")})
            self.settle_act(act, [f"Flags of {row.model}: {typed}."], self._protected, plain=False)

        label = "a rule, as tier=gold:8 or user%10:8; a number to remove one; on or off"
        self.ask(Question(f"Flags of {row.model}", said, label, fault=fault, do="change"), settled)

    def action_deploy(self) -> None:
        """Choose a version and a strategy."""
        row = self._chosen()
        if row is not None:
            self.choose_deploy(row.model)

    def action_freeze(self) -> None:
        """Ask for the reason and freeze; or allow deployments again."""
        row = self._chosen()
        if row is None:
            return
        if row.desired.frozen is not None:
            said = [f"It is frozen: {row.desired.frozen}", "Deployments and promotions are allowed again."]
            self.settle_act(Act(row.model, "unfreeze"), said, self._protected)
            return
        act = Act(row.model, "freeze")
        self.ask(
            Question(
                act.title,
                ["Nothing is deployed or promoted until it is unfrozen. A rollback still works."],
                label="why, for others to read",
                fault=lambda typed: "" if typed else "A freeze needs a reason that others can read.",
                do="freeze",
            ),
            lambda why: self.do(Act(row.model, "freeze", why=why)),
        )

    def action_shadow(self) -> None:
        """Ask which version gets copies; or stop them."""
        row = self._chosen()
        if row is None:
            return
        if row.desired.shadow:
            said = [f"v{row.desired.shadow} gets no more copies of the traffic."]
            self.settle_act(Act(row.model, "shadow", {"version": ""}), said, self._protected)
            return
        self.in_thread(lambda: deploying.offer(self.session, row.model), self._shadowed, "offer")

    def _shadowed(self, offer: Offer | None, fault: str) -> None:
        if offer is None:
            self.notify(f"No shadow now: {fault}", severity="error", markup=False)
            return
        known = {each.version for each in offer.versions}

        def check(typed: str) -> str:
            version = typed.removeprefix("v")
            if version not in known:
                return f"{offer.model} has no version {version or '–'}."
            try:
                deploying.foreseen(offer.state, "shadow", version)
            except Problem as problem:
                return told(problem)
            return ""

        def chosen(typed: str) -> None:
            version = typed.removeprefix("v")
            said = [f"v{version} gets copies of the traffic of {offer.model}."]
            self.settle_act(Act(offer.model, "shadow", {"version": version}), said, offer.protected, False)

        said = ["It gets a copy of every request; callers never wait for it and never see what it says."]
        names = ", ".join(f"v{each.version}" for each in offer.versions[:12])
        label = f"which version, of {names}{' …' if len(offer.versions) > 12 else ''}"
        question = Question(f"Shadow of {offer.model}", said, label, offer.newest, check, "send copies")
        self.ask(question, chosen)

    def detail(self, row: Deployment, width: int) -> Text:
        tint, now, desired = self.colours, time.time(), row.desired
        state = symbols.of_deployment(row.state)
        text = Text.assemble(
            (f"{symbols.SYMBOLS[state]} ", symbols.colour(state, tint)),
            (f"{row.model} v{row.version}", "bold"),
            (f"  {row.state}\n", tint.dim),
        )
        text.append_text(drawn.heading(row, width, tint, now))
        rollout = desired.rollout
        if rollout is not None and rollout.active:
            text.append("\n")
            text.append_text(drawn.steps(rollout, width, tint))
        if sum(arm.weight > 0 for arm in row.arms) > 1:
            text.append("\n")
            text.append_text(drawn.split(row, width, tint))
        if row.arms:
            text.append("\n")
            text.append_text(drawn.arms(row, width, tint))
        if row.verdicts and rollout is not None:
            when = "Gates of this step" if rollout.active else f"Gates of v{rollout.candidate} at its end"
            text.append(f"\n{when}\n", "bold")
            text.append_text(drawn.gates(row, width, tint))
        if rollout is not None and rollout.active:
            text.append(f"\nStrategy  {rollout.strategy.to_text()}\n", "bold")
            said = ["The first version: it answers once it is loaded, with nothing to compare it to."]
            if desired.champion:
                said = rollouts.strategy(rollout.strategy, f"v{rollout.candidate}", f"v{desired.champion}")
            text.append_text(drawn.prose(said, width, tint.dim))
        elif rollout is not None:
            text.append(f"\nLast rollout  {rollout.strategy.to_text()}\n", "bold")
            text.append_text(drawn.steps(rollout, width, tint))
            if rollout.phase == "done":
                text.append_text(
                    drawn.prose([f"v{rollout.candidate} arrived: {rollout.reason}"], width, tint.dim)
                )
        if desired.flags.rules:
            text.append("\nFlags\n", "bold")
            text.append_text(drawn.rules(row, width, tint))
        text.append("\n")
        text.append_text(facts(_facts(row, now), tint, width))
        if desired.events:
            text.append("\nEvents\n", "bold")
            text.append_text(drawn.events(row, width, tint))
        text.append_text(self._trend(row, width))
        return text

    def _trend(self, row: Deployment, width: int) -> Text:
        past = self._past(row)
        if len(past) < 2:
            return Text()
        ends = (f"{seconds((len(past) - 1) * self.every)} ago", "now")
        points = [(float(at), value) for at, value in enumerate(past)]
        lines = line_chart(points, min(width, 100), 6, ends, floor=0.0)
        return Text.assemble((f"\nrows a second  {number(past[-1], 3)}\n", "bold"), "\n".join(lines))


def _facts(row: Deployment, now: float) -> list[tuple[str, str]]:
    desired = row.desired
    latency = (("p50", row.p50_ms), ("p95", row.p95_ms), ("p99", row.p99_ms))
    pairs = [
        ("since", _since(row)),
        ("requests", f"{number(row.requests)}, {number(row.errors)} failed ({_share(row)})"),
        ("latency", "  ".join(f"{name} {number(value, 3)}" for name, value in latency) + " ms"),
    ]
    if desired.shadow:
        pairs.append(("shadow", f"v{desired.shadow} gets copies until told otherwise"))
    if desired.previous:
        kept = desired.keep_until - now
        loaded = f"stays loaded for {seconds(kept)}" if kept > 0 else "not loaded, a rollback loads it"
        pairs.append(("previous", f"v{desired.previous}, {loaded}"))
    return [
        *pairs,
        ("run", row.run_id or UNKNOWN),
        ("replicas", number(row.replicas)),
        ("not yet logged", f"{number(row.log_lag_rows)} rows"),
    ]


def _numbered(row: Deployment) -> int | None:
    return int(row.version) if row.version.isdigit() else None


def _share(row: Deployment) -> str:
    return rollouts.share_of_errors(row.errors, row.requests)


def _since(row: Deployment) -> str:
    at = instant(row.since)
    return f"{moment(at)} · {ago(at)}" if at else row.since or UNKNOWN
