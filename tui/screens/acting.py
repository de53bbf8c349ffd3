"""Pages that act on deployments: ask as the command line does, do it in a thread, tell what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from blueprints.errors import Problem
from tui import deploying
from tui.screens.ask import AskScreen, Question, by_name
from tui.screens.page import ListPage, told

if TYPE_CHECKING:
    from tui.deploying import Done, Offer


@dataclass(frozen=True)
class Act:
    """An act that was asked for: ``command`` and what it takes, as :func:`tui.deploying.act` has it."""

    model: str
    command: str
    what: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""

    @property
    def verb(self) -> str:
        """What it does, for a key."""
        return "roll back" if self.command == "rollback" else self.command

    @property
    def title(self) -> str:
        """The act, and whose."""
        return f"{self.verb.capitalize()} {self.model}"


class ActingPage(ListPage):
    """A list whose rows can be deployed, promoted, rolled back."""

    doing = ""

    def listing(self) -> str:
        return f"{super().listing()} · ◐ {self.doing}" if self.doing else super().listing()

    def ask(self, question: Question, then: Callable[[str], None]) -> None:
        """Ask; ``then`` gets the answer, or nothing happens."""
        self.app.push_screen(AskScreen(question), lambda answer: None if answer is None else then(answer))

    def settle_act(self, act: Act, sentences: Sequence[str], name: str, plain: bool = True) -> None:
        """Ask what the act needs, then do it.

        Args:
            act: The act.
            sentences: What will happen.
            name: Of a protected environment, to be typed; empty: it is not protected.
            plain: Also ask where nothing has to be typed.
        """
        if name and act.command not in deploying.UNASKED:
            self.ask(by_name(act.title, sentences, name, act.verb), lambda _: self.do(act))
        elif plain:
            self.ask(Question(act.title, sentences, do=act.verb), lambda _: self.do(act))
        else:
            self.do(act)

    def do(self, act: Act) -> None:
        """Do it in a thread; its result or refusal is told in words."""
        self.doing = act.title.lower()
        self.tell()
        self.in_thread(
            lambda: deploying.act(self.session, act.model, act.command, act.what, act.why, "console"),
            lambda done, fault: self._did(act, done, fault),
            "act",
        )

    def _did(self, act: Act, done: Done | None, fault: str) -> None:
        self.doing = ""
        if done is None:
            self.notify(f"{act.title}: refused. {fault}", severity="error", timeout=10, markup=False)
        else:
            self.notify(str(done), markup=False)
        self.tell()
        self.poll()

    def choose_deploy(self, model: str, version: str = "") -> None:
        """Read what can be deployed, then open the dialog."""
        self.doing = f"reading the versions of {model}"
        self.tell()
        self.in_thread(
            lambda: deploying.offer(self.session, model),
            lambda offer, fault: self._offered(offer, fault, version),
            "offer",
        )

    def _offered(self, offer: Offer | None, fault: str, version: str) -> None:
        from tui.screens.deploy import DeployScreen

        self.doing = ""
        self.tell()
        if offer is None:
            self.notify(f"Cannot deploy now: {fault}", severity="error", markup=False)
            return
        if offer.state.active or offer.state.frozen is not None:
            # No choice in the dialog would be taken.
            try:
                deploying.foreseen(offer.state, "deploy", version or offer.newest, offer.default)
            except Problem as problem:
                self.notify(told(problem), severity="warning", markup=False)
                return

        def chosen(choice: tuple[str, str] | None) -> None:
            if choice is not None:
                act = Act(offer.model, "deploy", {"version": choice[0], "strategy": choice[1]})
                said = [f"v{choice[0]} is rolled out: {choice[1]}."]
                self.settle_act(act, said, offer.protected, plain=False)

        self.app.push_screen(DeployScreen(offer, version), chosen)
