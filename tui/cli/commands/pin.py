"""``modelyard pin``: digests instead of tags, in the files of CI, the spec and the requirements."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from blueprints.errors import ExitCode
from tui.cli.output import Output

if TYPE_CHECKING:
    from stacks.project import Project


def add(parser: ArgumentParser, name: str) -> None:
    """Declare the options."""
    parser.add_argument("--check", action="store_true", help="only list what is not pinned; exit 1 if any is")
    parser.add_argument(
        "--wheel", metavar="FILE", type=Path, help="archive of modelyard to take its hash from"
    )


def run(args: Namespace, out: Output) -> int:
    """Pin, or list what is not pinned."""
    from stacks.project import Project

    project = Project.find(args.folder)
    return _check(project, out) if args.check else _pin(project, args.wheel, out)


def _pin(project: Project, wheel: Path | None, out: Output) -> int:
    from stacks.ci.pin import pin_project

    done = pin_project(project, wheel)
    out.table(("what", "digest"), ((str(reference), digest) for reference, digest in done.digests.items()))
    for path in done.written:
        out.say(f"wrote {path}")
    if not done.written:
        out.say("● nothing was left to pin")
    if done.left:
        out.say(f"△ modelyard itself has no hash: {done.left}. do: modelyard pin --wheel FILE")
    out.document(
        {
            "pinned": {str(reference): digest for reference, digest in done.digests.items()},
            "written": [str(path) for path in done.written],
            "left": done.left,
        }
    )
    return ExitCode.DONE


def _check(project: Project, out: Output) -> int:
    from stacks.ci import files, requirements

    loose = [(str(path), str(reference)) for path, reference in files.unpinned(project)]
    pins = project.root / requirements.name_in(project.root)
    own = requirements.unpinned(pins)
    if own:
        loose.append((str(pins), own))
    out.table(("file", "named by a tag or version only"), loose)
    if not loose:
        out.say("● everything is pinned")
    out.document({"unpinned": [{"file": path, "reference": reference} for path, reference in loose]})
    return ExitCode.FAILED if loose else ExitCode.DONE
