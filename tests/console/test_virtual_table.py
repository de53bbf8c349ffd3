"""VirtualTable: what is under the eye stays there, and only lines in sight are drawn."""

from __future__ import annotations

from dataclasses import dataclass

from textual.app import App, ComposeResult

from tui.widgets.filters import Filter, compare
from tui.widgets.virtual_table import Column, VirtualTable


@dataclass(frozen=True)
class Item:
    """A row."""

    id: int
    size: float | None


COLUMNS = (
    Column[Item]("id", "id", 10, lambda i: f"item-{i.id}", lambda i: i.id),
    Column[Item]("size", "size", 8, lambda i: str(i.size), lambda i: i.size, align="right"),
)


class Host(App[None]):
    """An app with nothing but the table."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn = 0
        self.table = VirtualTable(COLUMNS, lambda item: str(item.id))

    def compose(self) -> ComposeResult:
        yield self.table

    def on_mount(self) -> None:
        self.table.focus()


def items(count: int, start: int = 0) -> tuple[Item, ...]:
    """Items of rising size; each seventh of unknown size."""
    return tuple(Item(n, None if n % 7 == 0 else float(n)) for n in range(start, start + count))


async def test_a_hundred_thousand_rows_draw_only_those_in_sight() -> None:
    shown: set[int] = set()

    def show(item: Item) -> str:
        shown.add(item.id)
        return str(item.id)

    app = Host()
    app.table.columns = (Column[Item]("id", "id", 10, show, lambda i: i.id),)
    async with app.run_test(size=(60, 20)) as pilot:
        app.table.apply(items(100_000))
        await pilot.pause()
        await pilot.press("end")
        await pilot.pause()
        assert app.table.selected == Item(99_999, 99_999.0)
        assert {0, 99_999} <= shown
        assert len(shown) < 200


async def test_cursor_and_scroll_stay_with_their_row() -> None:
    app = Host()
    async with app.run_test(size=(60, 20)) as pilot:
        app.table.apply(items(1000, start=500))
        for _ in range(60):
            app.table.action_move(1)
        await pilot.pause()
        before = app.table.selected
        offset = app.table.cursor - app.table.scroll_offset.y
        app.table.apply(items(1010, start=490))
        await pilot.pause()
        assert app.table.selected == before
        assert app.table.cursor - app.table.scroll_offset.y == offset


async def test_unknown_values_come_last_in_either_order() -> None:
    app = Host()
    async with app.run_test(size=(60, 20)):
        app.table.apply(items(15))
        for down in (False, True):
            app.table.sort_by([("size", down)])
            assert [item.size for item in app.table.rows[-3:]] == [None] * 3
        assert app.table.rows[0].size == 13.0


async def test_several_sorts_are_numbered() -> None:
    app = Host()
    async with app.run_test(size=(60, 20)) as pilot:
        app.table.apply(items(15))
        app.table.sort_by([("size", True), ("id", False)])
        await pilot.pause()
        header = app.table.render_line(0).text
        assert "size↓1" in header
        assert "id↑2" in header


async def test_marks_outlive_a_filter_and_leave_with_their_row() -> None:
    app = Host()
    async with app.run_test(size=(60, 20)) as pilot:
        app.table.apply(items(10))
        await pilot.press("space", "space")
        app.table.filter(lambda item: item.id > 5)
        assert [item.id for item in app.table.marked] == [0, 1]
        app.table.apply(items(9, start=1))
        assert [item.id for item in app.table.marked] == [1]


async def test_the_last_row_is_reached_under_the_header() -> None:
    app = Host()
    async with app.run_test(size=(60, 20)) as pilot:
        app.table.apply(items(100))
        await pilot.press("end")
        await pilot.pause()
        assert "item-99" in app.table.render_line(app.table.size.height - 1).text


async def test_an_emptied_table_takes_every_key() -> None:
    app = Host()
    async with app.run_test(size=(60, 20)) as pilot:
        app.table.apply(items(3))
        app.table.apply(())
        await pilot.press("down", "end", "space", "enter", "right", "pageup")
        assert app.table.selected is None
        app.table.apply(items(3))
        assert app.table.selected == Item(0, None)


def test_the_filter_language() -> None:
    row = {"name": "Train storm", "auc": 0.91}
    for text, holds in {
        "storm": True,
        "!storm": False,
        "auc>0.9": True,
        "auc>=0.91 train": True,
        "auc<0.9": False,
        "!auc<0.9": True,
        "gone>1": False,
        "gone!=1": True,
        "name~^train": True,
        "name~[": False,
        "": True,
    }.items():
        test = Filter[dict[str, object]](text, lambda r: str(r["name"]), lambda r, key: r.get(key))
        assert test(row) is holds, text


def test_words_are_never_less_than_numbers() -> None:
    assert compare("boosting", "=", "Boosting")
    assert not compare("boosting", "<", "3")
