"""ResourceTree: what the engine plans or does, by layer; preview and apply share it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from rich.style import Style
from rich.text import Text
from textual.widgets import Tree
from textual.widgets.tree import TreeNode

from stacks.engine.events import Step, Verb
from tui.themes import Palette, palette


@dataclass
class Row:
    """A resource and how far it is: ``planned``, ``doing``, ``done``, ``failed``."""

    step: Step
    progress: str = "planned"
    seconds: float | None = None
    expected: float | None = None
    messages: list[str] = field(default_factory=list)


_DOING = {
    Verb.CREATE: "creating",
    Verb.UPDATE: "updating",
    Verb.REPLACE: "replacing",
    Verb.DELETE: "deleting",
    Verb.REFRESH: "looking",
    Verb.READ: "reading",
}


class ResourceTree(Tree[Row]):
    """Layers with their resources; rows are updated in place, the cursor never moves by itself."""

    show_root = False
    show_guides = False
    guide_depth = 2

    def __init__(self, id: str | None = None) -> None:
        super().__init__("", id=id)
        self._layers: dict[str, TreeNode[Row]] = {}
        self._rows: dict[str, TreeNode[Row]] = {}

    def show(self, steps: Iterable[Step]) -> None:
        """Show these, and nothing else."""
        self.clear()
        self._layers, self._rows = {}, {}
        for step in steps:
            self.put(Row(step))

    def put(self, row: Row) -> None:
        """Show a resource, or its new state. Layers themselves and providers are the headings."""
        step = row.step
        if step.layer is None or step.type == "component":
            return
        known = self._rows.get(step.urn)
        if known is not None:
            known.data = row
            known.refresh()
            return
        layer = self._layers.get(step.layer.value)
        if layer is None:
            layer = self.root.add(step.layer.value, expand=True)
            self._layers[step.layer.value] = layer
        self._rows[step.urn] = layer.add_leaf(step.name, data=row)

    def row(self, urn: str) -> Row | None:
        """The row of a resource."""
        node = self._rows.get(urn)
        return node.data if node else None

    def rows(self) -> list[Row]:
        """Every row."""
        return [node.data for node in self._rows.values() if node.data is not None]

    def render_label(self, node: TreeNode[Row], base_style: Style, style: Style) -> Text:
        """A heading with its count, or ``symbol type name state``."""
        tint = palette(self.app.current_theme)
        if node.data is None:
            line = Text(f"▾ {node.label}" if node.is_expanded else f"▸ {node.label}", style="bold")
            line.append(f"  {len(node.children)}", tint.dim)
        else:
            line = self._line(node.data)
        line.stylize(style)
        return line

    def _line(self, row: Row) -> Text:
        tint, step = palette(self.app.current_theme), row.step
        if row.progress == "planned":
            colour = tint.bad if step.dangerous else tint.dim if step.verb is Verb.SAME else tint.text
            return Text(f"  {step.verb.symbol} {step.type:<17}{step.name}", style=colour)
        symbol, colour = {
            "doing": ("◐", tint.busy),
            "done": ("●", tint.good),
            "failed": ("▲", tint.bad),
        }[row.progress]
        line = Text.assemble((f"  {symbol} ", colour), (f"{step.type:<17}{step.name:<24}", tint.text))
        if row.progress == "doing":
            about = f" {row.seconds or 0:.0f} s" + (f" of ~{row.expected:.0f} s" if row.expected else "")
            line.append(f"{_DOING.get(step.verb, 'working')}{about}", tint.busy)
        elif row.seconds is not None:
            line.append(f"{row.seconds:.1f} s", tint.dim)
        return line


def detail(row: Row, tint: Palette) -> Text:
    """What a resource is and will be, for the pane beside the tree."""
    step = row.step
    text = Text.assemble((f"{step.type} {step.name}\n", "bold"), (f"{step.verb.value}\n", "dim"))
    if step.dangerous:
        text.append("Data can be lost: its name must be typed.\n", f"bold {tint.bad}")
    if step.because:
        text.append(f"because  {step.because}\n")
    text.append("\n")
    for name, before, after in step.detail:
        shown = after if not before or before == after else f"{before} → {after}"
        text.append(f"{name:<16}", "dim")
        text.append(f"{shown}\n")
    for message in row.messages:
        text.append(f"\n▲ {message}\n")
    return text
