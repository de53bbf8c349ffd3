"""``modelyard init``: write the files of a project, add an environment to it, or change keys of its spec."""

from __future__ import annotations

import re
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from blueprints.errors import ExitCode, UsageProblem
from tui.cli.output import Output, shortened

if TYPE_CHECKING:
    from blueprints.spec import EnvironmentSpec
    from stacks.project import Project


def add(parser: ArgumentParser, name: str) -> None:
    """Declare the options."""
    parser.add_argument("--blueprint", metavar="NAME", help="local, kubernetes or aws (default: local)")
    parser.add_argument(
        "--set",
        dest="assignments",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="a key of the spec, as serving.replicas=2; may be repeated",
    )
    parser.add_argument("--project", metavar="NAME", help="project name (default: the folder's name)")
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")
    parser.add_argument("--dry-run", action="store_true", help="print the files, write nothing")
    parser.add_argument("--why", metavar="TEXT", default="", help="reason, for the audit log")


def run(args: Namespace, out: Output) -> int:
    """Write what is missing; say plainly what is there already."""
    from blueprints import catalog

    if args.blueprint:
        catalog.find(args.blueprint).require_built()
    if (args.folder / "Pulumi.yaml").exists():
        return _existing(args, out)
    return _fresh(args, out)


def _fresh(args: Namespace, out: Output) -> int:
    from blueprints.keys import assign
    from blueprints.spec import EnvironmentSpec
    from stacks.project import Project

    name = _checked(args.project or project_name(args.folder), "--project")
    environment = _checked(args.environment or "dev", "--env")
    spec = assign(EnvironmentSpec(blueprint=args.blueprint or "local"), args.assignments)
    _built(spec)
    files = Project.files(name, environment, spec, args.folder.resolve())
    if args.dry_run:
        for path, text in files.items():
            out.line(f"--- {path}\n{shortened(text)}")
        out.document({"project": name, "environment": environment, "written": False, "files": files})
        return ExitCode.DONE
    if out.interactive and not args.yes:
        out.say(f"{args.folder.resolve()} gets {', '.join(files)}")
        out.confirm(f"write the project {name}, environment {environment}?", "modelyard init --yes")
    project = Project.create(args.folder.resolve(), name, environment, spec)
    _record(project, environment, "environment.init", None, spec, args.why)
    out.say(f"wrote {', '.join(files)} in {project.root}")
    out.say("next: modelyard up" if args.folder == Path() else f"next: modelyard -C {args.folder} up")
    _tell(out, project, environment, spec, sorted(files))
    return ExitCode.DONE


def _existing(args: Namespace, out: Output) -> int:
    """A project is there: add an environment, change keys, or say that there is nothing to do."""
    from blueprints.keys import assign, differences
    from blueprints.spec import EnvironmentSpec
    from stacks.project import Project
    from tui.session import choose_environment

    project = Project.find(args.folder)
    project.prepare()
    if args.project and args.project != project.name:
        raise UsageProblem(
            f"this folder is the project {project.name!r} already",
            where="--project",
            expected=project.name,
            todo=f"modelyard -C ANOTHER_FOLDER init --project {args.project}",
        )
    known = project.environments()
    new = bool(args.environment) and args.environment not in known
    environment = _checked(args.environment, "--env") if new else choose_environment(known, args.environment)
    before = EnvironmentSpec() if new or environment not in known else project.spec(environment)
    if args.blueprint and args.blueprint != before.blueprint and not new:
        raise UsageProblem(
            f"the environment {environment} is built by the {before.blueprint} blueprint",
            where="--blueprint",
            expected=before.blueprint,
            todo=f"modelyard init --env NAME --blueprint {args.blueprint} makes another environment",
        )
    if new:
        before = EnvironmentSpec(blueprint=args.blueprint or "local")
    after = assign(before, args.assignments)
    _built(after)
    changed = differences(before, after)
    for path, old, value in changed:
        out.say(f"{path}: {old} → {value}")
    if not changed and not new:
        out.say(f"{project.name} is a project already, environment {environment}; nothing to write")
        out.say("next: modelyard up")
    elif not args.dry_run:
        if out.interactive and not args.yes:
            out.confirm(f"write the spec of {environment}?", "add --yes")
        project.write_spec(environment, after)
        _record(project, environment, "environment.init", None if new else before, after, args.why)
        out.say("next: modelyard preview")
    written = [f"Pulumi.{environment}.yaml"] if (changed or new) and not args.dry_run else []
    _tell(out, project, environment, after, written)
    return ExitCode.DONE


def project_name(folder: Path) -> str:
    """The folder's name as a valid project name."""
    slug = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")
    return re.sub(r"^[^a-z]+", "", slug)[:40].strip("-") or "modelyard"


def _checked(name: str, where: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,38}[a-z0-9]|[a-z]", name):
        raise UsageProblem(
            f"{name!r} cannot be used as a name",
            where=where,
            expected="1 to 40 lower-case letters, digits and hyphens, starting with a letter",
        )
    return name


def _built(spec: EnvironmentSpec) -> None:
    from blueprints import catalog

    catalog.find(spec.blueprint).require_built()


def _record(
    project: Project,
    environment: str,
    action: str,
    before: EnvironmentSpec | None,
    after: EnvironmentSpec,
    why: str,
) -> None:
    from tui.session import Session

    with Session(project, environment) as session:
        session.record(
            action,
            before=before.model_dump(mode="json") if before else None,
            after=after.model_dump(mode="json"),
            why=why,
        )


def _tell(out: Output, project: Project, environment: str, spec: EnvironmentSpec, written: list[str]) -> None:
    out.line(str(project.root))
    out.document(
        {
            "project": project.name,
            "environment": environment,
            "root": str(project.root),
            "written": written,
            "spec": spec.model_dump(mode="json"),
        }
    )
