"""``modelyard secrets``: which secrets there are and what keeps them; ``rotate`` gives them another key."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from blueprints.errors import ExitCode, UsageProblem
from tui.cli.output import Output

if TYPE_CHECKING:
    from stacks.project import Project
    from tui.session import Session


def add(parser: ArgumentParser, name: str) -> None:
    """Declare the options."""
    parser.add_argument("act", metavar="rotate", nargs="?", choices=("rotate",), help="give them another key")
    parser.add_argument(
        "--provider",
        metavar="URL",
        default="",
        help="passphrase, or a key service: awskms://… azurekeyvault://… gcpkms://… hashivault://…",
    )
    parser.add_argument(
        "--passphrase-file", metavar="FILE", type=Path, help="the new passphrase (default: a generated one)"
    )
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")
    parser.add_argument("--why", metavar="TEXT", default="", help="reason, for the audit log")


def run(args: Namespace, out: Output) -> int:
    """The list, or a rotation."""
    from tui.session import Session

    with Session.open(args.folder, args.environment) as session:
        return _rotate(session, args, out) if args.act else _list(session, out)


def _list(session: Session, out: Output) -> int:
    from stacks.engine import rotation

    project, name = session.project, session.environment_name
    provider, place = rotation.keeper(project, name), rotation.key_place(project, name)
    rows = list(_known(session))
    out.table(("secret", "kind"), rows)
    out.say(f"kept by {provider}; key: {place}")
    if rotation.pending(project):
        out.say("a rotation was begun and not finished: modelyard secrets rotate goes on from there")
    out.document(
        {
            "project": project.name,
            "environment": name,
            "provider": provider,
            "key": place,
            "rotating": rotation.pending(project) is not None,
            "secrets": [{"key": key, "kind": kind} for key, kind in rows],
        }
    )
    return ExitCode.DONE


def _known(session: Session) -> Iterator[tuple[str, str]]:
    """``(key, kind)``: ``config`` of a person, ``generated`` by the environment, ``output`` that
    ``modelyard outputs --show-secrets KEY`` reveals. Never a value."""
    from stacks.engine import rotation
    from stacks.engine.faults import NothingIsUp
    from tui.cli.commands.outputs import secret_keys, shown

    for path in _secure(session.project.config(session.environment_name)):
        yield path, "config"
    for each in session.engine().resources():
        if each.type == "secret":
            yield each.name, "generated"
    if rotation.pending(session.project) is None:
        try:
            yield from ((key, "output") for key in secret_keys(shown(session.environment(), False)))
        except NothingIsUp:
            return


def _secure(value: object, path: str = "") -> Iterator[str]:
    """Dotted paths of what Pulumi encrypted in a configuration."""
    if isinstance(value, dict):
        if set(value) == {"secure"}:
            yield path
            return
        for key, item in value.items():
            yield from _secure(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _secure(item, f"{path}.{number}")


def _rotate(session: Session, args: Namespace, out: Output) -> int:
    from stacks.engine import rotation
    from tui.cli.progress import progress

    project, name = session.project, session.environment_name
    begun = rotation.pending(project)
    provider = begun.provider if begun else args.provider or rotation.keeper(project, name)
    passphrase = _passphrase(args.passphrase_file, provider)
    concerned = tuple(begun.before) if begun else rotation.rotated_with(project, name, provider)
    _agree(project, concerned, args, out)
    facts = {"provider": provider, "environments": concerned}
    session.record("secrets.rotate.started", target=project.name, after=facts, why=args.why)
    with progress(out) as shows:
        done = rotation.rotate(project, name, args.provider, passphrase, shows)
    session.record("secrets.rotate.done", target=project.name, after=facts, why=args.why)
    went_on = "went on from a rotation that was not finished; " if done.resumed else ""
    out.say(f"{went_on}the secrets of {', '.join(done.environments)} have a new key, kept by {done.provider}")
    if done.stale:
        out.say(
            f"{done.stale} of this shell is the old one: unset it, the new one is {project.passphrase_file}"
        )
    out.document(
        {
            "project": project.name,
            "provider": done.provider,
            "environments": done.environments,
            "resumed": done.resumed,
        }
    )
    return ExitCode.DONE


def _passphrase(file: Path | None, provider: str) -> str:
    """The passphrase in ``file``; empty: none is given.

    Raises:
        UsageProblem: It cannot be read, is no single line, or no passphrase is asked for.
    """
    if file is None:
        return ""
    try:
        text = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is no text"
        raise UsageProblem(f"cannot be read: {reason}", where=f"--passphrase-file {file}") from None
    if len(text.splitlines()) != 1 or len(text) < 12:
        raise UsageProblem(
            "holds no passphrase",
            where=f"--passphrase-file {file}",
            expected="one line of 12 characters or more",
        )
    if provider != "passphrase":
        raise UsageProblem(
            "a key service takes no passphrase", where="--passphrase-file", expected="--provider passphrase"
        )
    return text


def _agree(project: Project, environments: tuple[str, ...], args: Namespace, out: Output) -> None:
    """Return when everybody whose secrets get another key has agreed."""
    from tui.cli import consent
    from tui.session import Session

    guarded = False
    for name in environments:
        with Session(project, name) as session:
            if consent.protected(session):
                consent.agree_to_protected(session, out, "secrets rotate")
                guarded = True
    if not args.yes and not guarded:
        out.confirm(f"give the secrets of {', '.join(environments)} another key?", "add --yes")
