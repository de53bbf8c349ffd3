"""``modelyard outputs``: endpoints and credentials; a secret is revealed by its key, and that is recorded."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from blueprints.errors import ExitCode, UsageProblem
from tui.cli.output import MASK, Output, cell, plain

if TYPE_CHECKING:
    from blueprints.environment import Environment
    from tui.session import Session


def add(parser: ArgumentParser, name: str) -> None:
    """Declare the options."""
    parser.add_argument("key", metavar="KEY", nargs="?", help="one value, as tracking.url")
    parser.add_argument(
        "--show-secrets",
        action="store_true",
        help="print the secret at KEY in clear; recorded in the audit log",
    )
    parser.add_argument("--all", action="store_true", help="with --show-secrets: every secret")
    parser.add_argument("--why", metavar="TEXT", default="", help="reason, for the audit log")


def run(args: Namespace, out: Output) -> int:
    """All values as ``key  value``, or the bare value of one key."""
    from tui.session import Session

    if args.show_secrets and bool(args.key) == args.all:
        raise UsageProblem(
            "reveals one secret by its key, or every one when that is asked for",
            where="outputs --show-secrets",
            expected="KEY or --all",
            todo="modelyard outputs --show-secrets tracking.password",
        )
    with Session.open(args.folder, args.environment) as session:
        environment = session.environment()
        values = shown(environment, secrets=False)
        if args.show_secrets:
            revealed = shown(environment, secrets=True)
            _record(session, secret_keys(values, args.key), args.why)
            values = revealed
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


def secret_keys(values: Mapping[str, Any], key: str | None = None) -> list[str]:
    """Dotted keys of the secrets in masked ``values``; with ``key`` the one, or none when it is no secret.

    Raises:
        UsageProblem: ``key`` is not there, or holds several secrets.
    """
    if not key:
        return [name for name, value in flat(values) if value == MASK]
    value = value_at(values, key)
    if isinstance(value, Mapping | list):
        inside = [name for name, leaf in flat(value, f"{key}.") if leaf == MASK]
        if inside:
            raise UsageProblem(
                f"{key} holds secrets, and each is revealed by its own key",
                where="outputs --show-secrets",
                expected=" or ".join(inside),
                todo=f"modelyard outputs --show-secrets {inside[0]}",
            )
    return [key] if value == MASK else []


def _record(session: Session, keys: list[str], why: str) -> None:
    """An entry for each secret, on disk before any of them is printed."""
    for key in keys:
        session.record("secret.reveal", after={"key": key}, why=why)


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
