"""Infra: resources by layer, their outputs with secrets masked, logs of a service."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text

from tui.commands_registry import LISTS, Command, bindings
from tui.screens.page import ListPage, facts
from tui.widgets.virtual_table import Column
from tui.widgets.words import UNKNOWN, ago, clip, moment

if TYPE_CHECKING:
    from stacks.engine.results import ResourceState
    from tui.session import Session

_LOGS = Command("infra.logs", "l", "logs", "logs", "Log of the selected service, live")
_OUTPUTS = Command("infra.outputs", "o", "outputs", "outputs", "Endpoints of the environment, secrets masked")
_LINES = 200


class InfraPage(ListPage):
    """Resources of the stack, layer by layer."""

    title = "Infra"
    every = 5.0
    COMMANDS = (_LOGS, _OUTPUTS, *LISTS)
    BINDINGS = bindings((_LOGS, _OUTPUTS))
    empty = (
        "Nothing is up.\n\n  modelyard preview     shows what would be made\n  modelyard up          makes it"
    )

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.lines: list[str] = []
        self.log_of = ""
        self._log_fault = ""
        self._outputs: list[tuple[str, str]] | None = None

    def on_mount(self) -> None:
        super().on_mount()
        self.set_interval(1.0, self._read_log)

    def columns(self) -> Sequence[Column[Any]]:
        return (
            Column("name", "resource", 26, self._branch, lambda r: (r.layer or "", r.name)),
            Column("type", "type", 18, lambda r: r.type),
            Column("modified", "changed", 10, lambda r: ago(r.modified), lambda r: r.modified, align="right"),
            Column("id", "id", 24, lambda r: r.id or UNKNOWN, flexible=True),
        )

    def _branch(self, row: ResourceState) -> str:
        return (
            f"▾ {row.name}" if row.type == "component" else f"  {row.name}" + (" ■" if row.stateful else "")
        )

    def key(self, row: ResourceState) -> str:
        return row.urn

    def crumb(self, row: ResourceState) -> str:
        if self._outputs is not None:
            return "outputs"
        return f"{row.name} ▸ log" if self.log_of else row.name

    def fetch(self) -> tuple[ResourceState, ...]:
        from blueprints.layers import Layer

        order = {layer: place for place, layer in enumerate(Layer)}
        found = self.session.engine().resources()
        return tuple(
            sorted(
                found,
                key=lambda r: (
                    order.get(r.layer, -1) if r.layer else -1,
                    r.type != "component",
                    r.type,
                    r.name,
                ),
            )
        )

    def selected_changed(self) -> None:
        self.log_of, self.lines, self._log_fault, self._outputs = "", [], "", None

    def action_logs(self) -> None:
        """Show the log of the selected service."""
        row = self.table.selected
        if row is None or row.type != "service":
            self.notify("Select a resource of type service; l shows its log.")
            return
        self.open_detail()
        self.log_of = row.name
        self.tell()
        self._read_log()

    def action_outputs(self) -> None:
        """Show what the stack gives out: every endpoint, secrets masked."""
        self.in_thread(self._read_outputs, self._gave, "outputs")

    def _read_outputs(self) -> list[tuple[str, str]]:
        from tui.cli.commands.outputs import flat, shown

        return [(key, str(value)) for key, value in flat(shown(self.session.environment(), secrets=False))]

    def _gave(self, outputs: list[tuple[str, str]] | None, fault: str) -> None:
        if outputs is None:
            self.notify(fault, severity="warning")
            return
        self.open_detail()
        self._outputs = outputs
        self.tell()

    def _read_log(self) -> None:
        if self.log_of and self.display and self.detail_open:
            name = self.log_of
            self.in_thread(lambda: self._tail(name), self._logged, "log")

    def _tail(self, name: str) -> list[str]:
        from stacks.logs import tail

        return tail(self.session.environment(), name, _LINES)

    def _logged(self, lines: list[str] | None, fault: str) -> None:
        self._log_fault = fault
        if (lines is not None and lines != self.lines) or fault:
            self.lines = lines if lines is not None else self.lines
            box = self.query_one("#detail-box")
            # Follow only who reads the end; a reader further up is left in peace.
            at_end = box.scroll_offset.y >= box.max_scroll_y - 1
            self.redraw()
            if at_end:
                self.call_after_refresh(box.scroll_end, animate=False)

    def detail(self, row: ResourceState, width: int) -> Text:
        tint = self.colours
        if self._outputs is not None:
            return Text.assemble(("Outputs of the stack\n", "bold"), facts(self._outputs, tint, width))
        text = Text.assemble((f"{row.name}\n", "bold"))
        if self.log_of:
            text.append(f"last {_LINES} lines of its log, live\n\n", tint.dim)
            if self._log_fault:
                text.append(f"{self._log_fault}\n", tint.warn)
            text.append("\n".join(self.lines))
            return text
        text.append_text(
            facts(
                [
                    ("type", row.type),
                    ("layer", str(row.layer or UNKNOWN)),
                    ("id", row.id or UNKNOWN),
                    ("made", moment(row.created)),
                    ("changed", moment(row.modified)),
                    ("data", "replacing or deleting it can lose data" if row.stateful else "none of its own"),
                    ("urn", row.urn),
                ],
                tint,
                width,
            )
        )
        for title, pairs in (("Outputs", row.outputs), ("Inputs", row.inputs)):
            if pairs:
                text.append(f"\n{title}\n", "bold")
                text.append_text(facts([(name, clip(value, 300)) for name, value in pairs], tint, width))
        return text
