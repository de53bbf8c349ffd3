"""Where the statistical tests of rollouts say what they measured (pytest -s shows it)."""

from __future__ import annotations

import sys


def say(text: str) -> None:
    """A line of figures."""
    sys.stdout.write(text + "\n")
