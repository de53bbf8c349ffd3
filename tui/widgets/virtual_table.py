"""VirtualTable: a table that draws only the lines in sight, so that 100,000 rows cost what 40 do.

The built-in DataTable measures every cell of every row on the thread that also takes the keys.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.cache import LRUCache
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.themes import palette
from tui.widgets.symbols import SYMBOLS, State, colour
from tui.widgets.words import clip, clip_middle

Row = TypeVar("Row")


@dataclass(frozen=True)
class Column(Generic[Row]):
    """How one column reads, looks and sorts.

    Attributes:
        key: Stable name, the one a sort names.
        title: Header.
        width: Cells; a ``flexible`` column takes what is left over, at least this and at most ``most``.
        show: Text of a row's cell.
        sort: Value a row is sorted by; None (and NaN) is unknown and always comes last.
        state: State of a row, drawn as its symbol and colour before the text.
        middle: Cut what is too long in its middle: names of a kind differ at their end.
    """

    key: str
    title: str
    width: int
    show: Callable[[Row], str]
    sort: Callable[[Row], Any] | None = None
    align: Literal["left", "right"] = "left"
    flexible: bool = False
    most: int = 1000
    state: Callable[[Row], State] | None = None
    middle: bool = False

    def sort_key(self, row: Row) -> Any:
        """What ``row`` sorts by; None when unknown."""
        value = self.sort(row) if self.sort else self.show(row)
        return None if isinstance(value, float) and math.isnan(value) else value


class VirtualTable(ScrollView, Generic[Row], can_focus=True):
    """A keyed table with cursor, marks, filter and sort by several columns.

    The cursor and the scroll position stay with their row when the rows change under them.

    Args:
        columns: The columns; the first one never scrolls away.
        key: Unique key of a row.
    """

    DEFAULT_CSS = "VirtualTable { height: 1fr; scrollbar-size: 1 1; overflow-x: hidden; }"
    BINDINGS = [
        Binding("up,k", "move(-1)", "up", show=False, id="table.up"),
        Binding("down,j", "move(1)", "down", show=False, id="table.down"),
        Binding("pageup", "page(-1)", "page up", show=False, id="table.page_up"),
        Binding("pagedown", "page(1)", "page down", show=False, id="table.page_down"),
        Binding("home,g", "move_to(0)", "first", show=False, id="table.first"),
        Binding("end,G", "move_to(-1)", "last", show=False, id="table.last"),
        Binding("left", "shift(-1)", "columns left", show=False, id="table.left"),
        Binding("right", "shift(1)", "columns right", show=False, id="table.right"),
        Binding("enter", "open", "open", show=False, id="table.open"),
        Binding("space", "mark", "mark", show=False, id="table.mark"),
    ]

    @dataclass
    class Moved(Message):
        """The cursor went to another row."""

        table: VirtualTable[Any]

        def can_replace(self, message: Message) -> bool:
            """Only the last move counts."""
            return isinstance(message, VirtualTable.Moved)

    @dataclass
    class Opened(Message):
        """A row was opened with enter or a click on the cursor."""

        table: VirtualTable[Any]

    @dataclass
    class Changed(Message):
        """Filter, sort or marks changed."""

        table: VirtualTable[Any]

    def __init__(
        self, columns: Sequence[Column[Row]], key: Callable[[Row], str], *, id: str | None = None
    ) -> None:
        super().__init__(id=id)
        self.columns: tuple[Column[Row], ...] = tuple(columns)
        self._key = key
        self._rows: Sequence[Row] = ()
        self._shown: list[Row] = []
        self._places: dict[str, int] = {}
        self._filter: Callable[[Row], bool] | None = None
        self.sorts: list[tuple[str, bool]] = []
        self.marks: set[str] = set()
        self.cursor = 0
        self._skip = 0
        self._strips: LRUCache[tuple[object, ...], Strip] = LRUCache(1000)

    @property
    def total(self) -> int:
        """Rows before the filter."""
        return len(self._rows)

    @property
    def rows(self) -> Sequence[Row]:
        """Rows that pass the filter, in order."""
        return self._shown

    @property
    def selected(self) -> Row | None:
        """The row under the cursor."""
        return self._shown[self.cursor] if self._shown else None

    @property
    def marked(self) -> tuple[Row, ...]:
        """Marked rows, in the order of the table, filtered ones last; a filter does not unmark."""
        found = [row for row in self._rows if self._key(row) in self.marks] if self.marks else []
        last = len(self._rows)
        return tuple(sorted(found, key=lambda row: self._places.get(self._key(row), last)))

    def set_columns(self, columns: Sequence[Column[Row]]) -> None:
        """Other columns; sorts by a column that is gone are dropped."""
        self.columns = tuple(columns)
        known = {column.key for column in columns}
        self.sorts = [sort for sort in self.sorts if sort[0] in known]
        self._arrange()

    def apply(self, rows: Iterable[Row]) -> None:
        """Show these rows. Cursor, marks and scroll position stay with the rows they were on."""
        self._rows = rows if isinstance(rows, tuple) else tuple(rows)
        if self.marks:
            self.marks &= {self._key(row) for row in self._rows}
        self._arrange()

    def filter(self, predicate: Callable[[Row], bool] | None) -> None:
        """Show only rows the predicate holds for; None: all."""
        self._filter = predicate
        self._arrange()
        self.post_message(self.Changed(self))

    def sort_by(self, sorts: Sequence[tuple[str, bool]]) -> None:
        """Sort by ``(column key, descending)``, the first counting most."""
        self.sorts = list(sorts)
        self._arrange()
        self.post_message(self.Changed(self))

    def toggle_sort(self, key: str, add: bool = False) -> None:
        """Sort by a column, or turn its order round; ``add`` keeps the sorts before it."""
        now = dict(self.sorts)
        kept = self.sorts if add else []
        if key in now:
            turned = [(name, not down if name == key else down) for name, down in self.sorts]
            self.sort_by(turned if add else [(key, not now[key])])
        else:
            self.sort_by([*kept, (key, False)])

    def _arrange(self) -> None:
        selected = self.selected
        key = self._key(selected) if selected is not None else None
        before = self.cursor
        shown = [row for row in self._rows if self._filter(row)] if self._filter else list(self._rows)
        columns = {column.key: column for column in self.columns}
        for name, down in reversed(self.sorts):
            shown = _sorted(shown, columns[name].sort_key, down)
        self._shown = shown
        self._places = {self._key(row): place for place, row in enumerate(shown)}
        self.cursor = self._places.get(key, min(before, len(shown) - 1)) if key is not None else 0
        self.cursor = max(0, self.cursor)
        self._strips.clear()
        self.virtual_size = Size(0, len(shown) + 1)
        if self.cursor != before:
            # The row under the eye stays where it is on the screen while others come and go above it.
            self.scroll_to(y=max(0, self.scroll_offset.y + self.cursor - before), animate=False, force=True)
        self.refresh()

    def notify_style_update(self) -> None:
        """Another theme: nothing drawn before is right."""
        super().notify_style_update()
        self._strips.clear()

    def spans(self, width: int) -> list[tuple[Column[Row], int]]:
        """The columns in sight with their widths; the first always, the others from the shift on."""
        if not self.columns:
            return []
        wanted = [self.columns[0], *self.columns[1 + self._skip :]]
        fitting: list[Column[Row]] = []
        used = 2
        for column in wanted:
            if fitting and used + column.width + 2 > width and len(fitting) >= 1:
                break
            fitting.append(column)
            used += column.width + 2
        spare = max(0, width - used)
        flexible = sum(column.flexible for column in fitting)
        return [(c, min(c.most, c.width + spare // flexible) if c.flexible else c.width) for c in fitting]

    def render_line(self, y: int) -> Strip:
        """One line of the widget: the header, a row, or nothing."""
        width = self.size.width
        if y == 0:
            return self._header(width)
        place = self.scroll_offset.y + y - 1
        if place >= len(self._shown):
            return Strip.blank(width, self.rich_style)
        row = self._shown[place]
        key = self._key(row)
        here, marked = place == self.cursor, key in self.marks
        cached = (key, width, self._skip, here, marked, self.has_focus, self.app.theme)
        strip = self._strips.get(cached)
        if strip is None:
            strip = self._line(row, width, here, marked)
            self._strips[cached] = strip
        return strip

    def _base(self) -> Style:
        tint = palette(self.app.current_theme)
        return Style(color=tint.text, bgcolor=tint.ground)

    def _header(self, width: int) -> Strip:
        tint = palette(self.app.current_theme)
        order = {name: (at + 1, down) for at, (name, down) in enumerate(self.sorts)}
        base = self._base()
        segments = [Segment("  ", base)]
        spans = self.spans(width)
        for place, (column, wide) in enumerate(spans):
            mark = ""
            if column.key in order:
                at, down = order[column.key]
                mark = ("↓" if down else "↑") + (str(at) if len(order) > 1 else "")
            style = base + Style(color=tint.text if mark else tint.dim, bold=bool(mark))
            segments.append(
                Segment(_fit(clip(column.title, wide - len(mark)) + mark, wide, column.align), style)
            )
            segments.append(Segment("← " if self._skip and not place else "  ", base))
        strip = Strip(segments).adjust_cell_length(width, base)
        if 1 + self._skip + len(spans) - 1 >= len(self.columns):
            return strip
        # More columns than fit: where they are, so that nobody thinks these are all.
        return Strip([*strip.crop(0, width - 1), Segment("→", base)])

    def _line(self, row: Row, width: int, here: bool, marked: bool) -> Strip:
        tint = palette(self.app.current_theme)
        base = self._base()
        if here:
            base += Style(bgcolor=tint.cursor, bold=self.has_focus)
        # The cursor and the mark are a character too, not only a colour.
        sign = ("▌" if here else " ") + ("✓" if marked else " ")
        segments = [Segment(sign, base)]
        for column, wide in self.spans(width):
            room = wide
            if column.state:
                state = column.state(row)
                segments.append(Segment(SYMBOLS[state] + " ", base + Style(color=colour(state, tint))))
                room -= 2
            text = clip_middle(column.show(row), room) if column.middle else column.show(row)
            segments.append(Segment(_fit(text, room, column.align), base))
            segments.append(Segment("  ", base))
        return Strip(segments).adjust_cell_length(width, base)

    def _go(self, place: int) -> None:
        if not self._shown:
            return
        self.cursor = max(0, min(place, len(self._shown) - 1))
        height = max(1, self.size.height - 1)
        top = self.scroll_offset.y
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False, force=True)
        elif self.cursor >= top + height:
            self.scroll_to(y=self.cursor - height + 1, animate=False, force=True)
        self.refresh()
        self.post_message(self.Moved(self))

    def action_move(self, by: int) -> None:
        """Move the cursor by rows."""
        self._go(self.cursor + by)

    def action_page(self, by: int) -> None:
        """Move the cursor by pages."""
        self._go(self.cursor + by * max(1, self.size.height - 2))

    def action_move_to(self, place: int) -> None:
        """Move the cursor to a row; -1: the last."""
        self._go(len(self._shown) - 1 if place < 0 else place)

    def action_shift(self, by: int) -> None:
        """Scroll the columns after the first sideways."""
        self._skip = max(0, min(self._skip + by, len(self.columns) - 2))
        self.refresh()

    def action_open(self) -> None:
        """Open the row under the cursor."""
        if self._shown:
            self.post_message(self.Opened(self))

    def action_mark(self) -> None:
        """Mark or unmark the row under the cursor, and go on."""
        row = self.selected
        if row is None:
            return
        self.marks ^= {self._key(row)}
        self._go(self.cursor + 1)
        self.post_message(self.Changed(self))

    def on_click(self, event: events.Click) -> None:
        """A header sorts (shift adds), a row takes the cursor, the cursor's row opens."""
        if event.y == 0:
            at = 2
            for column, wide in self.spans(self.size.width):
                if event.x < at + wide + 2:
                    self.toggle_sort(column.key, add=event.shift)
                    return
                at += wide + 2
            return
        place = self.scroll_offset.y + event.y - 1
        if place >= len(self._shown):
            return
        if place == self.cursor:
            self.action_open()
        else:
            self._go(place)

    def watch_has_focus(self, has_focus: bool) -> None:
        """The cursor looks different with the focus elsewhere."""
        super().watch_has_focus(has_focus)
        self.refresh(Region(0, 0, *self.size))


def _fit(text: str, width: int, align: str) -> str:
    text = clip(text, width)
    return text.rjust(width) if align == "right" else text.ljust(width)


def _sorted(rows: list[Row], key: Callable[[Row], Any], down: bool) -> list[Row]:
    known = [row for row in rows if key(row) is not None]
    unknown = [row for row in rows if key(row) is None]
    try:
        known.sort(key=key, reverse=down)
    except TypeError:
        known.sort(key=lambda row: str(key(row)), reverse=down)
    return known + unknown
