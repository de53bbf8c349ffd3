"""``modelyard outputs``: endpoints and credentials; secrets are masked unless they are asked for."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from blueprints.errors import ExitCode, UsageProblem
from tui.cli.output import Output, cell, plain

if TYPE_CHECKING:
    from blueprints.environment import Environment


def add(parser: ArgumentParser, name: str) -> None:
    """Declare the options."""
    parser.add_argument("key", metavar="KEY", nargs="?", help="one value, as tracking.url")
    parser.add_argument("--show-secrets", action="store_true", help="print secrets in clear")


def run(args: Namespace, out: Output) -> int:
    """All values as ``key  value``, or the bare value of one key."""
    from tui.session import Session

    with Session.open(args.folder, args.environment) as session:
        values = shown(session.environment(), args.show_secrets)
    if args.key:
        value = value_at(values, args.key)
        out.document(value)
        if isinstance(value, Mapping | list):
            _lines(value, args.key + ".", out)
        else:
            out.line("" if value is None else str(value).lower() if isinstance(value, bool) else str(value))
        return ExitCode.DONE
    out.document(values)
    _lines(values, "", out)
    return ExitCode.DONE


def shown(environment: Environment, secrets: bool) -> dict[str, Any]:
    """The environment as plain data, secrets masked unless ``secrets``."""
    data = plain(environment.revealed() if secrets else environment)
    assert isinstance(data, dict)
    return data


def value_at(values: Any, key: str) -> Any:
    """The value at the dotted ``key``.

    Raises:
        UsageProblem: There is none; names the nearest.
    """
    value = values
    for part in key.split("."):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            import difflib

            known = [name for name, _ in flat(values)]
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
            raise UsageProblem(
                f"there is no output {key!r}",
                where="outputs",
                expected=", ".join(values) if isinstance(values, Mapping) else "",
                todo=f"did you mean {near[0]}?" if near else "modelyard outputs",
            )
    return value


def flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """``(dotted key, leaf)`` of nested maps and lists."""
    items = (
        value.items()
        if isinstance(value, Mapping)
        else ((str(index), item) for index, item in enumerate(value))
    )
    for key, item in items:
        if isinstance(item, Mapping | list):
            yield from flat(item, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", item


def _lines(value: Any, prefix: str, out: Output) -> None:
    rows = list(flat(value, prefix))
    width = max((len(key) for key, _ in rows), default=0)
    for key, leaf in rows:
        # Values for programs: numbers ungrouped, booleans as JSON spells them.
        text = (
            str(leaf).lower()
            if isinstance(leaf, bool)
            else str(leaf)
            if isinstance(leaf, int)
            else cell(leaf)
        )
        out.line(f"{key.ljust(width)}  {text}")
