"""``modelyard models [NAME]``: the registry."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from blueprints.errors import ExitCode, UsageProblem
from tui.cli.output import Output, since

if TYPE_CHECKING:
    from mlops.tracking.entities import ModelVersion


def add(parser: ArgumentParser, name: str) -> None:
    """Declare the options."""
    parser.add_argument("name", metavar="NAME", nargs="?", help="versions of one model")


def run(args: Namespace, out: Output) -> int:
    """All models, or the versions of one, newest first."""
    from tui.session import Session

    with Session.open(args.folder, args.environment) as session:
        client = session.tracking()
        if args.name:
            known = {model.name: model for model in client.models()}
            if args.name not in known:
                raise UsageProblem(
                    f"no model is called {args.name!r}",
                    where="models",
                    expected=", ".join(known) or "none yet",
                )
            versions = tuple(
                _with_aliases(found, known[args.name].aliases) for found in client.versions(args.name)
            )
            out.table(
                ("version", "aliases", "status", "created", "run"),
                (
                    (
                        str(item.version),
                        ", ".join(item.aliases),
                        item.status,
                        since(item.created),
                        item.run_id,
                    )
                    for item in versions
                ),
                right=(0,),
            )
            out.document({"model": args.name, "versions": versions})
            return ExitCode.DONE
        models = client.models()
    out.table(
        ("model", "aliases", "updated", "description"),
        (
            (
                model.name,
                ", ".join(f"{alias} v{version}" for alias, version in model.aliases.items()),
                since(model.updated),
                model.description,
            )
            for model in models
        ),
    )
    if not models:
        out.say("no model is registered. modelyard demo registers one")
    out.document({"models": models})
    return ExitCode.DONE


def _with_aliases(version: ModelVersion, aliases: Mapping[str, str]) -> ModelVersion:
    """MLflow's search over versions leaves their aliases out; the model itself has them."""
    names = tuple(alias for alias, number in aliases.items() if number == version.version)
    return replace(version, aliases=tuple(dict.fromkeys((*version.aliases, *names))))
