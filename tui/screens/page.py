"""What every page shares: one poller in a thread, one frozen snapshot a fetch, a list and its detail."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Input, Static

from blueprints.errors import Problem
from tui.commands_registry import LISTS, Command, bindings
from tui.themes import Palette, palette
from tui.widgets import symbols
from tui.widgets.filters import Filter
from tui.widgets.frame import KeysLine, ListLine
from tui.widgets.virtual_table import Column, VirtualTable
from tui.widgets.words import UNKNOWN, clip_middle, hanging, number

if TYPE_CHECKING:
    from tui.session import Session

#: From this width the detail stands beside the list, below it takes the list's place.
WIDE = 120


def told(fault: Exception) -> str:
    """A fault as a sentence for a line of the page."""
    if isinstance(fault, Problem):
        return f"{fault.what}. {fault.todo}" if fault.todo else fault.what
    return f"{type(fault).__name__}: {fault}"


class Page(Vertical):
    """A page that reads ``fetch`` every ``every`` seconds while it is in sight.

    Subclasses give ``title``, ``fetch`` (in a thread, touches no widget) and ``show`` (draws a snapshot).
    """

    title: ClassVar[str] = ""
    every: ClassVar[float] = 2.0
    COMMANDS: ClassVar[tuple[Command, ...]] = ()

    @dataclass
    class Fetched(Message):
        """A fetch ended: with a snapshot or with a fault."""

        page: Page
        snapshot: Any
        fault: str
        seconds: float

        def can_replace(self, message: Message) -> bool:
            """Only the newest snapshot of a page matters."""
            return isinstance(message, Page.Fetched) and message.page is self.page

    def __init__(self, session: Session) -> None:
        super().__init__(id=f"page-{self.title.lower()}")
        self.session = session
        self.snapshot: Any = None
        self.fault = ""
        self._timer: Timer | None = None
        self._busy = False

    @property
    def colours(self) -> Palette:
        """State colours of the theme in use."""
        return palette(self.app.current_theme)

    def fetch(self) -> Any:
        """Read what the page shows. In a thread; raises Problem."""
        raise NotImplementedError

    def show(self) -> None:
        """Draw ``self.snapshot``."""

    def on_mount(self) -> None:
        """Start to read."""
        self.poll()

    def poll(self) -> None:
        """Read now, unless a read is under way or nobody looks."""
        if self._timer:
            self._timer.stop()
        if self._busy or not self.display:
            return
        self._busy = True
        self.run_worker(self._read, thread=True, group=f"poll-{self.id}", exit_on_error=False)

    def _read(self) -> None:
        began = time.monotonic()
        snapshot, fault = None, ""
        try:
            snapshot = self.fetch()
        except Exception as problem:  # a page must outlive whatever a part answers
            fault = told(problem)
        self.post_message(self.Fetched(self, snapshot, fault, time.monotonic() - began))

    def on_page_fetched(self, message: Page.Fetched) -> None:
        """Draw, and read again: later when the answer was slow."""
        message.stop()
        self._busy = False
        self.fault = message.fault
        if message.snapshot is not None:
            self.snapshot = message.snapshot
        self.show()
        self.tell()
        wait = self.every if message.seconds < self.every / 2 else max(self.every, 2 * message.seconds)
        self._timer = self.set_timer(self.wait(wait), self.poll)

    def wait(self, seconds: float) -> float:
        """How long to wait after a fetch; a page that has more to read says less."""
        return seconds

    def listing(self) -> str:
        """The left of line 3."""
        return self.title

    def rhythm(self) -> str:
        """The right of line 3."""
        return f"every {self.every:g} s"

    def keys(self) -> list[tuple[str, str]]:
        """Keys and their words for the last line, the ones that matter most first."""
        return [("1-7", "pages"), ("↑ ↓", "scroll"), ("r", "reload"), ("t", "theme"), ("q", "quit")]

    def tell(self) -> None:
        """Draw line 3 and the keys."""
        if self.display:
            line = self.app.query_one("#list-line", ListLine)
            line.tell(self.listing(), self.rhythm(), self.fault)
            self.app.query_one("#keys-line", KeysLine).tell(self.keys())

    def focus_list(self) -> None:
        """Give the keys to what they move, unless somebody is typing."""

    def back(self) -> bool:
        """Close what is open on the page; False when nothing is."""
        return False

    def selected_id(self) -> str:
        """What ``y`` copies."""
        return ""


class ListPage(Page):
    """A page with a table and a detail beside it (or in its place on a narrow terminal)."""

    COMMANDS: ClassVar[tuple[Command, ...]] = LISTS
    BINDINGS = bindings(LISTS)
    empty: ClassVar[str] = ""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.table: VirtualTable[Any] = VirtualTable(self.columns(), self.key)
        self.panel = Static(id="detail")
        self.nothing = Static(self.empty, classes="empty")
        self.detail_open = False
        self.filter_text = ""

    def compose(self) -> ComposeResult:
        """The list, what stands there when it is empty, and the detail."""
        with Horizontal():
            yield self.table
            yield self.nothing
            with VerticalScroll(id="detail-box"):
                yield self.panel

    def columns(self) -> Sequence[Column[Any]]:
        """Columns of the table."""
        raise NotImplementedError

    def key(self, row: Any) -> str:
        """Unique key of a row."""
        raise NotImplementedError

    def words(self, row: Any) -> str:
        """Text of a row that a filter's words are looked for in."""
        return " ".join(column.show(row) for column in self.table.columns)

    def field(self, row: Any, name: str) -> object:
        """Value of a field that a condition of a filter names."""
        for column in self.table.columns:
            if column.key == name:
                return column.sort_key(row)
        return getattr(row, name, None)

    def rows(self) -> tuple[Any, ...]:
        """Rows of the snapshot."""
        return tuple(self.snapshot or ())

    def detail(self, row: Any, width: int) -> Text:
        """The detail of a row, for a width."""
        return Text()

    def on_mount(self) -> None:
        super().on_mount()
        self.settle()
        self.call_after_refresh(self.focus_list)

    def focus_list(self) -> None:
        """Give the keys to the list, or to the detail in its place, unless somebody is typing."""
        if self.display and not isinstance(self.app.focused, Input):
            (self.table if self.table.display else self.query_one("#detail-box")).focus()

    @property
    def alone(self) -> bool:
        """Whether the detail takes the list's place."""
        return self.app.size.width < WIDE

    def crumb(self, row: Any) -> str:
        """What the open detail is called in line 3."""
        return self.key(row)

    def keys(self) -> list[tuple[str, str]]:
        own = [(c.key_name, c.title) for c in self.COMMANDS if c.shown]
        if not self.detail_open:
            return [("⏎", "open"), *own, ("y", "copy"), ("q", "quit")]
        move = ("↑ ↓", "scroll") if self.alone else ("tab", "detail")
        return [("esc", "back"), move, *own, ("y", "copy")]

    def show(self) -> None:
        self.table.apply(self.rows())
        self.settle()
        self.redraw()

    def settle(self) -> None:
        """Who is in sight: list, detail, or the words of an empty page."""
        unknown = self.snapshot is None and bool(self.fault)
        nothing = unknown or (self.snapshot is not None and not self.table.total)
        self.nothing.update(self._unknown() if unknown else self.empty)
        self.nothing.display = nothing
        self.table.display = not nothing and not (self.detail_open and self.alone)
        box = self.query_one("#detail-box")
        box.display = not nothing and self.detail_open
        box.set_class(self.alone, "alone")

    def _unknown(self) -> Text:
        sign = f"{symbols.SYMBOLS['failing']} "
        said = "\n\nThis page fills as soon as it answers; the other pages work meanwhile."
        return Text.assemble((f"{sign}{self.fault}", self.colours.bad), (said, self.colours.dim))

    def on_resize(self) -> None:
        """Another size, another arrangement."""
        self.settle()
        self.call_after_refresh(self.redraw)

    def redraw(self) -> None:
        """Draw the detail of the selected row."""
        row = self.table.selected
        if self.detail_open and row is not None:
            self.panel.update(self.detail(row, max(30, self.query_one("#detail-box").size.width - 4)))

    def listing(self) -> str:
        shown, total = len(self.table.rows), self.table.total
        row = self.table.selected if self.detail_open else None
        where = self.title if row is None else f"{self.title} ▸ {clip_middle(self.crumb(row), 40)}"
        count = f"{number(shown)} of {number(total)}" if shown != total else number(total)
        parts = [where, UNKNOWN if self.snapshot is None else count]
        if self.filter_text:
            parts.append(f"/{self.filter_text}")
        if self.table.sorts:
            many = len(self.table.sorts) > 1
            parts.append(
                " ".join(
                    f"{name}{'↓' if down else '↑'}{at if many else ''}"
                    for at, (name, down) in enumerate(self.table.sorts, 1)
                )
            )
        if self.table.marks:
            parts.append(f"{len(self.table.marks)} marked")
        return " · ".join(parts)

    def on_virtual_table_moved(self) -> None:
        """Another row is selected."""
        self.selected_changed()
        self.redraw()
        self.tell()

    def on_virtual_table_changed(self) -> None:
        """Filter, sort or marks changed."""
        self.tell()

    def on_virtual_table_opened(self) -> None:
        """Open the detail."""
        self.open_detail()

    def selected_changed(self) -> None:
        """The cursor is on another row: read what its detail needs."""

    def open_detail(self) -> None:
        """Show the detail of the selected row."""
        self.detail_open = True
        self.selected_changed()
        self.opened()

    def opened(self) -> None:
        """Arrange the page around its detail, from the detail's first line."""
        self.settle()
        self.query_one("#detail-box").scroll_home(animate=False)
        self.focus_list()
        self.tell()
        self.call_after_refresh(self.redraw)

    def back(self) -> bool:
        if self.detail_open:
            self.detail_open = False
            self.settle()
            self.focus_list()
            self.tell()
            return True
        if self.filter_text:
            self.set_filter("")
            return True
        return False

    def set_filter(self, text: str) -> None:
        """Filter the list by ``text``; empty: no filter."""
        self.filter_text = text.strip()
        self.table.filter(Filter(text, self.words, self.field) if self.filter_text else None)
        self.tell()

    def action_filter(self) -> None:
        """Ask for a filter; it works as it is typed."""
        console: Any = self.app
        console.ask("/", self.filter_text, self.set_filter, live=True)

    def action_sort_next(self) -> None:
        """Sort by the next column."""
        names = [column.key for column in self.table.columns]
        now = self.table.sorts[0][0] if self.table.sorts else ""
        place = names.index(now) + 1 if now in names else 0
        self.table.toggle_sort(names[place % len(names)])

    def action_sort_reverse(self) -> None:
        """Turn the order round."""
        if self.table.sorts:
            self.table.toggle_sort(self.table.sorts[0][0])

    def selected_id(self) -> str:
        row = self.table.selected
        return self.key(row) if row is not None else ""

    def in_thread(self, work: Callable[[], Any], then: Callable[[Any, str], None], group: str) -> None:
        """Run ``work`` in a thread; ``then(result, fault)`` afterwards on the thread of the keys."""
        self.run_worker(
            partial(self._work, work, then), thread=True, group=f"{self.id}-{group}", exit_on_error=False
        )

    def _work(self, work: Callable[[], Any], then: Callable[[Any, str], None]) -> None:
        result, fault = None, ""
        try:
            result = work()
        except Exception as problem:
            fault = told(problem)
        self.app.call_from_thread(then, result, fault)


def facts(pairs: Sequence[tuple[str, str]], tint: Palette, width: int) -> Text:
    """``name  value`` lines in ``width`` columns: names dim, long values go on below themselves."""
    text = Text()
    names = min(max((len(name) for name, _ in pairs), default=0), max(8, width // 2))
    for name, value in pairs:
        text.append(f"{clip_middle(name, names):<{names}}  ", tint.dim)
        text.append(f"{hanging(value, width, names + 2)}\n")
    return text
