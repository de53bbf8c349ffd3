"""The dialog of a deployment: which version, how it takes over, and what will happen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from blueprints.errors import Problem
from tui import deploying, rollouts
from tui.themes import palette
from tui.widgets.words import ago, clip, hanging

if TYPE_CHECKING:
    from mlops.tracking.entities import ModelVersion
    from tui.deploying import Offer

#: Written out, because that is easier to change than to look up; each is the default of its kind.
_TEXTS = {
    "rolling": "rolling:10s",
    "blue-green": "blue-green:1m,keep=4h",
    "canary": "canary:5@1m,25@1m,50@1m,100",
    "shadow": "shadow:1h",
    "ab": "ab:50,metric=",
}


class DeployScreen(ModalScreen[tuple[str, str] | None]):
    """Gives ``(version, text of the strategy)``; None: it was left."""

    CSS_PATH = "dialogs.tcss"
    BINDINGS = [("escape", "stay", "stay")]

    def __init__(self, offer: Offer, version: str = "") -> None:
        super().__init__()
        self.offer = offer
        self.version = version or offer.newest
        self._ways = {"default": offer.default, **_TEXTS}
        self._valid = False

    def compose(self) -> ComposeResult:
        """Versions beside strategies, the text, what will happen, the keys."""
        tint, offer = palette(self.app.current_theme), self.offer
        champion = f" · v{offer.state.champion} answers now" if offer.state.champion else ""
        with VerticalScroll(classes="dialog", can_focus=False):
            yield Static(Text.assemble((f"Deploy {clip(offer.model, 60)}", "bold"), (champion, tint.dim)))
            with Horizontal():
                yield OptionList(*map(self._version, offer.versions), id="versions")
                yield OptionList(*(self._way(name) for name in self._ways), id="ways")
            yield Static(Text("strategy, as modelyard deploy --strategy takes it", tint.dim), id="label")
            yield Input(offer.default, id="typed", compact=True)
            yield Static("", id="preview")
            yield Static("", id="keys")

    def _version(self, each: ModelVersion) -> Option:
        tint = palette(self.app.current_theme)
        text = Text(f" v{each.version:<4}")
        text.append(f"{ago(each.created):>10} ", tint.dim)
        names = {"champion"} if each.version == self.offer.state.champion else set()
        text.append(clip(", ".join(sorted(names | set(each.aliases))), 13), tint.dim)
        return Option(text, id=each.version)

    def _way(self, name: str) -> Option:
        tint = palette(self.app.current_theme)
        said = rollouts.KINDS.get(name) or f"of this environment: {clip(self.offer.default, 36)}"
        return Option(Text.assemble(f" {name:<11}", (said, tint.dim)), id=name)

    def on_mount(self) -> None:
        """Begin with the version; the strategy is the environment's own."""
        versions = self.query_one("#versions", OptionList)
        places = [each.version for each in self.offer.versions]
        if self.version in places:
            versions.highlighted = places.index(self.version)
        self.query_one("#ways", OptionList).highlighted = 0
        versions.focus()
        self._preview()

    @on(OptionList.OptionHighlighted)
    def _highlighted(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        chosen = str(event.option.id)
        if event.option_list.id == "versions":
            self.version = chosen
        elif event.option_list.has_focus:
            self.query_one("#typed", Input).value = self._ways[chosen]
        self._preview()

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.query_one("#ways" if event.option_list.id == "versions" else "#typed").focus()
        self._keys()

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        self._preview()

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if self._valid:
            self.dismiss((self.version, event.value.strip()))

    def on_resize(self) -> None:
        """Another width for the words."""
        self.call_after_refresh(self._preview)

    def on_descendant_focus(self) -> None:
        """Enter does something else now."""
        self._keys()

    def action_stay(self) -> None:
        """Leave; nothing changes."""
        self.dismiss(None)

    def _preview(self) -> None:
        """What would happen, or why it would be refused."""
        from mlops.serving.rollout.strategy import parse

        tint, state = palette(self.app.current_theme), self.offer.state
        text = self.query_one("#typed", Input).value.strip()
        preview, said = self.query_one("#preview", Static), Text()
        self._valid = False
        try:
            after = deploying.foreseen(state, "deploy", self.version, text)
            self._valid = True
            sentences = rollouts.strategy(parse(text), f"v{self.version}", f"v{state.champion}")
            if not state.champion:
                sentences = [after.events[-1].text.replace("version ", "v", 1) + "."]
            width = preview.size.width or 90
            said.append("\n".join(hanging(each, width, 0) for each in sentences))
        except Problem as problem:
            said.append(f"▲ {problem.what}", tint.bad)
            if problem.expected:
                said.append(f"\n{problem.expected}", tint.dim)
            if problem.todo:
                said.append(f"\n{problem.todo}", tint.dim)
        preview.update(said)
        self._keys()

    def _keys(self) -> None:
        typing = self.query_one("#typed").has_focus
        enter = ("deploy" if self._valid else "not yet") if typing else "next"
        keys = Text.assemble(
            *(("⏎", "bold"), f" {enter}   ", ("tab", "bold"), " other field   "),
            *(("↑ ↓", "bold"), " choose   ", ("esc", "bold"), " stay, nothing changes"),
        )
        self.query_one("#keys", Static).update(keys)
