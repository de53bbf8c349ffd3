"""The frame around every page: where am I, is anything burning, is what I see fresh; and the keys."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text
from textual.widgets import Static

from tui.themes import Palette, palette
from tui.widgets.symbols import SYMBOLS


@dataclass(frozen=True)
class Standing:
    """What line 1 tells. ``synced`` is a monotonic time, None before the first answer."""

    project: str
    environment: str
    protected: bool = False
    pages: int = 0
    tickets: int = 0
    services: int = 0
    down: int = 0
    synced: float | None = None
    fault: str = ""


class Line(Static):
    """One line of the frame; subclasses draw it for a width."""

    DEFAULT_CSS = "Line { height: 1; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }"

    @property
    def colours(self) -> Palette:
        """State colours of the theme in use."""
        return palette(self.app.current_theme)

    def draw(self, width: int) -> Text:
        """The line in ``width`` columns."""
        return Text()

    def render(self) -> Text:
        return self.draw(max(1, self.content_size.width or self.app.size.width - 2))


def spread(left: Text, right: Text, width: int) -> Text:
    """``left`` and ``right`` at the two ends; the right one gives way when both do not fit."""
    room = width - left.cell_len - right.cell_len
    if room < 2:
        left.truncate(width, overflow="ellipsis")
        return left
    return Text.assemble(left, " " * room, right)


class WhereLine(Line):
    """Line 1."""

    standing = Standing("", "")

    def tell(self, standing: Standing) -> None:
        """Show another standing."""
        self.standing = standing
        self.refresh()

    def draw(self, width: int) -> Text:
        now, tint = self.standing, self.colours
        left = Text.assemble(
            ("modelyard", tint.dim), "  ", (f"{now.project} ▸ {now.environment}", f"bold {tint.text}")
        )
        if now.protected:
            left.append(f" {SYMBOLS['protected']} protected", tint.protected)
        if now.pages:
            left.append(f"   {SYMBOLS['failing']}{now.pages} page{'s' * (now.pages > 1)}", tint.bad)
        if now.tickets:
            left.append(f"   {SYMBOLS['degraded']}{now.tickets} ticket{'s' * (now.tickets > 1)}", tint.warn)
        return spread(left, self._right(width < 100), width)

    def _right(self, narrow: bool) -> Text:
        now, tint = self.standing, self.colours
        right = Text()
        # A narrow line has no room for what is well; what is down is told at any width.
        if now.services and (now.down or not narrow):
            if not narrow:
                right.append(f"{now.services} services ", tint.dim)
            if now.down:
                right.append(f"{SYMBOLS['failing']} {now.down} down", tint.bad)
            else:
                right.append(SYMBOLS["well"], tint.good)
            right.append(" · ", tint.dim)
        if now.fault:
            right.append(f"{SYMBOLS['off']} {now.fault}", tint.warn)
        elif now.synced is None:
            right.append(f"{SYMBOLS['changing']} reading the environment", tint.busy)
        else:
            old = int(time.monotonic() - now.synced)
            right.append(
                "synced now" if old < 1 else f"synced {old} s ago", tint.warn if old > 15 else tint.dim
            )
        return right


class PagesLine(Line):
    """Line 2: the pages, a digit each; at narrow widths only the one that is open."""

    pages: Sequence[tuple[str, str]] = ()
    current = ""

    def tell(self, pages: Sequence[tuple[str, str]], current: str) -> None:
        """Show ``(digit, title)`` of every page; ``current`` is the title of the open one."""
        self.pages, self.current = pages, current
        self.refresh()

    def draw(self, width: int) -> Text:
        line = Text()
        for digit, title in self.pages:
            here = title == self.current
            line.append(f"{digit} ", self.colours.dim)
            line.append(title, f"bold underline {self.colours.text}" if here else self.colours.dim)
            line.append("  ")
        if line.cell_len <= width + 2:
            return line
        for digit, title in self.pages:
            if title == self.current:
                return Text.assemble(
                    (f"{digit} {title}", "bold"), (f" ▾   1–{len(self.pages)} pages", self.colours.dim)
                )
        return line

    def on_click(self, event: object) -> None:
        """Open the page under the pointer."""
        column, at = int(getattr(event, "x", 0)) - 1, 0
        for digit, title in self.pages:
            at += len(digit) + len(title) + 3
            if column < at:
                self.app.call_later(self.app.run_action, f"app.page('{title.lower()}')")
                return


class ListLine(Line):
    """Line 3: what is listed, how many of how many, filter, sort; the rhythm at the right."""

    left = ""
    right = ""
    fault = ""

    def tell(self, left: str, right: str = "", fault: str = "") -> None:
        """Show another line; ``fault`` is a sentence about a part that does not answer."""
        if (left, right, fault) != (self.left, self.right, self.fault):
            self.left, self.right, self.fault = left, right, fault
            self.refresh()

    def draw(self, width: int) -> Text:
        line = Text(self.left, self.colours.text)
        if self.fault:
            line.append(f"   {SYMBOLS['failing']} {self.fault}", self.colours.bad)
        return spread(line, Text(self.right, self.colours.dim), width)


class KeysLine(Line):
    """The last line: the keys that matter here."""

    keys: Sequence[tuple[str, str]] = ()

    def tell(self, keys: Sequence[tuple[str, str]]) -> None:
        """Show ``(key, word)`` pairs."""
        if list(keys) != list(self.keys):
            self.keys = keys
            self.refresh()

    def draw(self, width: int) -> Text:
        tint = self.colours
        right = Text.assemble((":", "bold"), (" command  ", tint.dim), ("?", "bold"), (" help", tint.dim))
        left = Text()
        for key, word in self.keys:
            piece = Text.assemble((key, "bold"), (f" {word}  ", tint.dim))
            if left.cell_len + piece.cell_len + right.cell_len > width - 2:
                break
            left.append_text(piece)
        return spread(left, right, width)


class Rule(Line):
    """A thin line between frame and body; it has the colour of danger beside a protected environment."""

    protected = False

    def tell(self, protected: bool) -> None:
        """Show whether the environment is protected."""
        if protected != self.protected:
            self.protected = protected
            self.refresh()

    def draw(self, width: int) -> Text:
        return Text("─" * width, self.colours.protected if self.protected else self.colours.dim)
