"""``modelyard ci``: write the files of a CI platform; in a job, render a plan as a comment and post it."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blueprints.errors import ExitCode, Problem, UsageProblem
from tui.cli.output import Output, shortened

if TYPE_CHECKING:
    from stacks.ci.files import Written
    from stacks.project import Project


def add(parser: ArgumentParser, name: str) -> None:
    """Declare the options."""
    parser.add_argument(
        "what",
        metavar="PLATFORM|comment|post",
        help="github, gitlab, azure or jenkins: write its files. comment: a plan as Markdown. "
        "post: put a comment on the pull request of this job",
    )
    parser.add_argument("file", nargs="?", metavar="FILE", help="of comment and post (default: stdin)")
    parser.add_argument("--force", action="store_true", help="overwrite files that were edited by hand")
    parser.add_argument("--dry-run", action="store_true", help="print the files, write nothing")
    parser.add_argument(
        "--drift",
        action="store_true",
        help="of comment: tell the plan as drift; exit 1 when anything differs or the preview failed",
    )


def run(args: Namespace, out: Output) -> int:
    """Do what ``args.what`` names."""
    if args.what == "comment":
        return _comment(args, out)
    if args.what == "post":
        return _post(args, out)
    return _write(args, out)


def _write(args: Namespace, out: Output) -> int:
    from stacks.ci.files import files, find_platform, write
    from stacks.project import Project

    find_platform(args.what)
    if args.file or args.drift:
        raise UsageProblem("FILE and --drift belong to comment and post", where=f"ci {args.what}")
    project = Project.find(args.folder)
    made = files(project, args.what)
    if args.dry_run:
        for each in made:
            out.line(f"--- {each.path} ({each.state})\n{shortened(each.text, 400)}")
        _tell(out, project, args.what, made, ())
        return ExitCode.DONE
    written = write(project, made, args.force)
    for path in written:
        out.line(path)
    out.say(f"wrote {len(written)} files" if written else "every file is as it should be; nothing to write")
    _say_what_is_left(out, project, args.what)
    _tell(out, project, args.what, made, written)
    return ExitCode.DONE


def _say_what_is_left(out: Output, project: Project, platform: str) -> None:
    """What a person still has to do: include the file, pin, set secrets."""
    from stacks.ci import files, requirements

    top = files.repository(project.root)
    root = top / ".gitlab-ci.yml"
    if platform == "gitlab":
        place = next(path for path in files.written_files(project) if path.parent.name == ".gitlab")
        line = f'  - local: "/{place.relative_to(top).as_posix()}"'
        if place.name not in files.read(root):
            out.say(f"△ {root.name} is yours and stays: add to its include:\n{line}")
    pins = project.root / requirements.name_in(project.root)
    loose = requirements.unpinned(pins)
    if loose:
        out.say(
            f"△ {pins.name} has no hash for {loose}: pip refuses it in CI until modelyard pin --wheel FILE"
        )
    protected = [name for name in project.environments() if project.spec(name).protected]
    names = dict.fromkeys(str(reference) for _, reference in files.unpinned(project))
    if names:
        why = f"; {', '.join(protected)} is protected, and up refuses until they are" if protected else ""
        out.say(f"△ named by a tag only: {', '.join(names)}{why}. do: modelyard pin")
    out.say("next: the secrets and variables that docs/ci.md lists, then commit these files")


def _tell(
    out: Output, project: Project, platform: str, made: tuple[Written, ...], written: tuple[str, ...]
) -> None:
    from stacks.ci.files import unpinned

    out.document(
        {
            "project": project.name,
            "platform": platform,
            "files": {each.path: each.text for each in made},
            "states": {each.path: each.state for each in made},
            "written": written,
            "unpinned": sorted({str(reference) for _, reference in unpinned(project)}),
        }
    )


def _comment(args: Namespace, out: Output) -> int:
    from stacks.ci import comment

    document = _document(args.file)
    if "error" in document:
        # A fault names no environment; its comment takes the place of that environment's last plan.
        document |= {"project": _project_name(args.folder), "environment": args.environment or "environment"}
    text = comment.markdown(document, drift=args.drift)
    reason = ""
    if "error" in document:
        reason = "the preview failed" if args.drift else ""
    elif args.drift and (found := comment.changes(document)):
        reason = f"{len(found)} resources differ from the committed spec. modelyard up puts them right"
    out.line(text.rstrip("\n"))
    out.document({"markdown": text, "failed": bool(reason), "reason": reason})
    if reason:
        out.say(f"▲ {reason}")
    return ExitCode.FAILED if reason else ExitCode.DONE


def _project_name(folder: Path) -> str:
    from stacks.project import Project

    try:
        return Project.find(folder).name
    except Problem:
        return "project"


def _post(args: Namespace, out: Output) -> int:
    from stacks.ci.post import post

    if args.force or args.dry_run or args.drift:
        raise UsageProblem("takes no options", where="ci post", expected="modelyard ci post [FILE]")
    done = post(_read(args.file))
    out.say(f"comment {done}")
    out.document({"comment": done})
    return ExitCode.DONE


def _document(file: str | None) -> dict[str, Any]:
    text = _read(file)
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise UsageProblem(
            "is no JSON document" if text.strip() else "is empty",
            where=file or "stdin",
            expected="the document of modelyard preview --json",
            todo="modelyard preview --json > plan.json; modelyard ci comment plan.json",
        )
    return found


def _read(file: str | None) -> str:
    try:
        return sys.stdin.read() if file in (None, "-") else Path(str(file)).read_text(encoding="utf-8")
    except OSError as error:
        raise UsageProblem(error.strerror or "cannot be read", where=str(file), expected="a file") from None
    except UnicodeDecodeError:
        raise Problem("is not UTF-8 text", where=str(file or "stdin")) from None
