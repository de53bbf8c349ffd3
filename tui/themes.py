"""The dark and the light theme. Colour means state and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from textual.theme import Theme

DARK = Theme(
    name="modelyard-dark",
    primary="#8fa3b8",
    secondary="#7d8b99",
    accent="#8fa3b8",
    foreground="#d3d9df",
    background="#12161b",
    surface="#12161b",
    panel="#1b2128",
    success="#6cc38a",
    warning="#e0a84a",
    error="#ef6b6b",
    dark=True,
    variables={"footer-key-foreground": "#d3d9df", "block-cursor-background": "#2c3946"},
)
LIGHT = Theme(
    name="modelyard-light",
    primary="#40566b",
    secondary="#5b6b7a",
    accent="#40566b",
    foreground="#1d242b",
    background="#fbfbf9",
    surface="#fbfbf9",
    panel="#eef0f0",
    success="#1f7a43",
    warning="#935f00",
    error="#b3261e",
    dark=False,
    variables={"footer-key-foreground": "#1d242b", "block-cursor-background": "#d5dee6"},
)


@dataclass(frozen=True)
class Palette:
    """Colours of states, and the two of text and cursor, as hex."""

    good: str
    busy: str
    bad: str
    warn: str
    dim: str
    protected: str
    text: str
    ground: str
    cursor: str


_DARK = Palette(
    good="#6cc38a",
    busy="#6fa8dc",
    bad="#ef6b6b",
    warn="#e0a84a",
    dim="#7f8b96",
    protected="#d08be0",
    text="#d3d9df",
    ground="#12161b",
    cursor="#2c3946",
)
_LIGHT = Palette(
    good="#1f7a43",
    busy="#1f5fa8",
    bad="#b3261e",
    warn="#935f00",
    dim="#68737d",
    protected="#8a2aa0",
    text="#1d242b",
    ground="#fbfbf9",
    cursor="#d5dee6",
)


def palette(theme: Theme) -> Palette:
    """The state colours that read well on ``theme``, ours or any other."""
    return _DARK if theme.dark else _LIGHT
