"""Where a command's words go: data to stdout, narration to stderr, one JSON document when asked."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from blueprints.errors import ExitCode, Problem, UsageProblem

#: How a secret is shown where it is not revealed; the same mark the engine uses.
MASK = "[secret]"


def plain(value: Any) -> Any:
    """``value`` as JSON types. Dataclasses become objects, times ISO 8601 text, secrets :data:`MASK`."""
    if value is None or isinstance(value, bool | int | str):
        return getattr(value, "value", value)
    if isinstance(value, float):
        # JSON has no NaN or infinity: unknown is null.
        return value if value == value and abs(value) != float("inf") else None
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if hasattr(value, "__dataclass_fields__"):
        return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if hasattr(value, "get_secret_value"):
        return MASK
    if hasattr(value, "model_fields"):
        return {name: plain(getattr(value, name)) for name in type(value).model_fields}
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, Iterable):
        return [plain(item) for item in value]
    return str(value)


class Output:
    """The three streams of one command.

    Args:
        as_json: Print one JSON document instead of text.
        quiet: No narration on stderr (problems are still told).
    """

    def __init__(self, as_json: bool = False, quiet: bool = False) -> None:
        self.as_json = as_json
        self.quiet = quiet

    @property
    def interactive(self) -> bool:
        """Whether a person can be asked: stdin and stderr are a terminal and no JSON was asked for."""
        return not self.as_json and sys.stdin.isatty() and sys.stderr.isatty()

    def say(self, text: str) -> None:
        """One line of narration."""
        if not self.quiet:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()

    def line(self, text: str = "") -> None:
        """One line of data (never mixed into a JSON document)."""
        if not self.as_json:
            sys.stdout.write(text + "\n")

    def document(self, value: Any) -> None:
        """The JSON document of the command; nothing without ``--json``."""
        if self.as_json:
            import json

            sys.stdout.write(json.dumps(plain(value), indent=2, ensure_ascii=False) + "\n")

    def table(
        self, heads: Sequence[str], rows: Iterable[Sequence[object]], right: Sequence[int] = ()
    ) -> None:
        """Columns of text; those in ``right`` (indexes) align right. The last column is never padded."""
        cells = [[cell(item) for item in row] for row in rows]
        widths = [max(len(head), *(len(row[i]) for row in cells), 0) for i, head in enumerate(heads)]
        for row in [list(heads), *cells]:
            parts = [
                text.rjust(width) if i in right else text.ljust(width)
                for i, (text, width) in enumerate(zip(row, widths, strict=True))
            ]
            self.line("  ".join(parts).rstrip())

    def problem(self, problem: Problem) -> None:
        """The problem in words on stderr, and as the document of ``--json`` on stdout."""
        sys.stderr.write(str(problem) + "\n")
        self.document(problem.as_dict())

    def confirm(self, question: str, todo: str) -> None:
        """Return when a person says yes.

        Raises:
            UsageProblem: Nobody can be asked.
            Problem: The answer is no (exit code 130: interrupted by its user).
        """
        if not self.interactive:
            raise UsageProblem(
                "without a terminal nobody can be asked",
                expected="--yes",
                todo=todo,
            )
        if self._ask(f"{question} [y/N] ").lower() not in ("y", "yes"):
            raise Problem("stopped: nothing was changed", code=ExitCode.INTERRUPTED)

    def confirm_name(self, name: str, why: str, given: str | None, todo: str) -> None:
        """Return when the name was typed, at the prompt or on the command line (``given``).

        Raises:
            UsageProblem: The name does not match, or nobody can be asked.
        """
        typed = given
        if not typed and self.interactive:
            typed = self._ask(f"{why}\ntype {name} to go on: ")
        if not typed:
            raise UsageProblem(why, expected=f"the name {name}, typed or given", todo=todo)
        if typed != name:
            raise UsageProblem(f"{typed!r} is not the name", expected=name, todo="nothing was changed")

    def _ask(self, question: str) -> str:
        sys.stderr.write(question)
        sys.stderr.flush()
        return sys.stdin.readline().strip()


def cell(value: object) -> str:
    """A table cell: unknown is ``–``, whole numbers get thin group separators, other numbers four digits."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace(",", " ")
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(getattr(value, "value", value))


def shortened(text: str, most: int = 40) -> str:
    """The first ``most`` lines of a file, and how many more there are."""
    lines = text.rstrip().splitlines()
    return "\n".join([*lines[:most], *([f"… {len(lines) - most} more lines"] if len(lines) > most else [])])


def duration(seconds: float | None) -> str:
    """``3.2 s``, ``4 min``, ``14 d``; unknown is ``–``."""
    if seconds is None:
        return "–"
    if seconds < 10:
        return f"{seconds:.1f} s"
    for size, unit in ((86400, "d"), (3600, "h"), (120, "min")):
        if seconds >= size:
            return f"{seconds / (60 if unit == 'min' else size):.0f} {unit}"
    return f"{seconds:.0f} s"


def since(moment: Any) -> str:
    """How long ago: of an aware datetime, or milliseconds since 1970 as MLflow gives them."""
    if moment in (None, 0, ""):
        return "–"
    import time

    stamp = moment.timestamp() if hasattr(moment, "timestamp") else float(moment) / 1000
    return duration(max(0.0, time.time() - stamp)) + " ago"
