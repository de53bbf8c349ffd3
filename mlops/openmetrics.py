"""What every text in the OpenMetrics format is written with."""

from __future__ import annotations

from collections.abc import Iterator


def head(name: str, kind: str, words: str, unit: str = "") -> Iterator[str]:
    """The lines before the samples of a family."""
    yield f"# TYPE {name} {kind}"
    if unit:
        yield f"# UNIT {name} {unit}"
    yield f"# HELP {name} {words}"


def labels(**values: str) -> str:
    """``name="value",…``, without the braces."""
    return ",".join(f'{name}="{escaped(value)}"' for name, value in values.items())


def escaped(value: str) -> str:
    """A label's value as it stands between the quotes."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
