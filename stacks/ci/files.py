"""The files that run a project on a CI platform: what they are, whether a person edited them, and writing."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from blueprints.errors import Problem, UsageProblem
from stacks.ci import references, requirements
from stacks.ci.references import Reference
from stacks.ci.render import Scope, render
from stacks.disk import disk_problem, write_together
from stacks.project import Project

_TEMPLATES = Path(__file__).with_name("templates")
#: Platform -> template -> where it goes in the repository. ``{name}`` is empty for a project at its top,
#: ``{here}`` is the project's own folder.
PLATFORMS: dict[str, dict[str, str]] = {
    "github": {
        "github.yml": ".github/workflows/modelyard{name}.yml",
        "github-action.yml": ".github/actions/modelyard{name}/action.yml",
    },
    "gitlab": {"gitlab.yml": ".gitlab/modelyard{name}.yml"},
    "azure": {
        "azure.yml": ".azure-pipelines/modelyard{name}.yml",
        "azure-setup.yml": ".azure-pipelines/modelyard{name}-setup.yml",
    },
    "jenkins": {"Jenkinsfile": "{here}Jenkinsfile"},
}
#: GitLab reads one file; ours is included from it. Written only where there is none.
_GITLAB_ROOT = ".gitlab-ci.yml"
#: Environments come up in this order, by the first word of their name; the protected ones last.
_EARLY, _LATE = ("dev", "test", "qa"), ("staging", "prod", "production")
_FIRST = re.compile(r"(?:#|//) Written by modelyard ci \w+ \(content ([0-9a-f]{12})\)\.[^\n]*\n")


@dataclass(frozen=True)
class Written:
    """A file of CI.

    Attributes:
        path: Relative to the repository.
        text: What it should hold, with the pins that the file there has.
        state: ``new``, ``same``, ``ours`` (there, as Modelyard wrote it) or ``edited``.
    """

    path: str
    text: str
    state: str


def repository(start: Path) -> Path:
    """The git repository that ``start`` is in.

    Raises:
        UsageProblem: There is none.
    """
    for folder in (start, *start.parents):
        if (folder / ".git").exists():
            return folder
    raise UsageProblem(
        "is in no git repository",
        where=str(start),
        expected="a project in a repository: CI runs what is committed",
        todo=f"git init {start}",
    )


def find_platform(name: str) -> str:
    """``name`` when it is a platform.

    Raises:
        UsageProblem: It is none.
    """
    if name not in PLATFORMS:
        raise UsageProblem(
            f"no CI platform is called {name!r}",
            where="ci",
            expected=" or ".join(PLATFORMS),
            todo="modelyard ci github",
        )
    return name


def files(project: Project, platform: str) -> tuple[Written, ...]:
    """The files of ``platform`` for every environment of ``project``, each with the state it is in now.

    Raises:
        UsageProblem: Unknown platform, no repository, no environment, a spec that does not hold.
    """
    top = repository(project.root)
    scope = _scope(project, top)
    made: list[Written] = []
    for template, place in PLATFORMS[find_platform(platform)].items():
        path = place.format(name=scope.values["suffix"], here=scope.values["prefix"])
        body = render((_TEMPLATES / template).read_text(), scope)
        made.append(_with_state(top, path, _signed(platform, path, body)))
    if platform == "gitlab" and not (top / _GITLAB_ROOT).exists():
        body = f'include:\n  - local: "/{made[0].path}"\n'
        made.append(Written(_GITLAB_ROOT, _signed(platform, _GITLAB_ROOT, body), "new"))
    return (*made, *_requirements(project, scope.values["prefix"]))


def write(project: Project, made: tuple[Written, ...], force: bool) -> tuple[str, ...]:
    """Write what is not there as it should be: all of it or nothing. Returns the paths written.

    Raises:
        UsageProblem: A person edited a file, and ``force`` is not set.
        Problem: The folder cannot be written.
    """
    top = repository(project.root)
    edited = [each.path for each in made if each.state == "edited"]
    if edited and not force:
        raise UsageProblem(
            "edited by hand, or not written by Modelyard; nothing was changed",
            where=", ".join(edited),
            expected="files as modelyard ci wrote them",
            todo="compare with --dry-run, then add --force to overwrite",
        )
    texts = {each.path: each.text for each in made if each.state != "same"}
    try:
        write_together(top, texts)
    except OSError as error:
        raise disk_problem(error, top) from None
    return tuple(texts)


def written_files(project: Project) -> tuple[Path, ...]:
    """The files of CI that are there, of any platform, and the stack files: all that may need a pin."""
    try:
        top = repository(project.root)
    except UsageProblem:
        found: list[Path] = []
    else:
        name, here = _suffix(project, top), _prefix(project, top)
        places = [place for each in PLATFORMS.values() for place in each.values()]
        found = [top / place.format(name=name, here=here) for place in places]
    stacks = [project.root / f"Pulumi.{environment}.yaml" for environment in project.environments()]
    return tuple(path for path in (*found, *stacks) if path.is_file())


def unpinned(project: Project, environment: str | None = None) -> tuple[tuple[Path, Reference], ...]:
    """What the files name by a tag only; of the stack files only that of ``environment``, when given."""
    skip = {f"Pulumi.{name}.yaml" for name in project.environments() if environment not in (None, name)}
    return tuple(
        (path, reference)
        for path in written_files(project)
        if path.name not in skip
        for reference, digest in references.references(read(path))
        if digest is None
    )


def require_pins(project: Project, environment: str) -> None:
    """Refuse a protected environment whose CI files or spec name something by a tag that can move.

    Raises:
        UsageProblem: Names the first few, and the command that pins them.
    """
    loose = unpinned(project, environment)
    if loose:
        shown = ", ".join(dict.fromkeys(f"{reference} in {path.name}" for path, reference in loose))
        raise UsageProblem(
            f"{environment} is protected, and a tag can be moved to other code: {shown}",
            where=str(project.root),
            expected="actions and images by digest",
            todo="modelyard pin, then commit the files",
        )


def read(path: Path) -> str:
    """The text of a file of CI.

    Raises:
        Problem: It cannot be read, or is not text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise disk_problem(error, path) from None
    except UnicodeDecodeError:
        raise Problem("is not UTF-8 text", where=str(path)) from None


def _with_state(top: Path, path: str, text: str) -> Written:
    if not (top / path).exists():
        return Written(path, text, "new")
    old = read(top / path)
    known = {reference: digest for reference, digest in references.references(old) if digest}
    text = references.pin(text, known)
    if old == text:
        return Written(path, text, "same")
    first = _FIRST.match(old)
    ours = first is not None and first[1] == _content(old[first.end() :])
    return Written(path, text, "ours" if ours else "edited")


def _requirements(project: Project, prefix: str) -> tuple[Written, ...]:
    """The requirements file where there is none, or where it is that of another version of Modelyard."""
    name = requirements.name_in(project.root)
    path = project.root / name
    own = requirements.own_pin()
    if path.is_file() and requirements.version_in(read(path)) == own.version:
        return ()
    return (Written(prefix + name, requirements.text(name, own), "ours" if path.is_file() else "new"),)


def _signed(platform: str, path: str, body: str) -> str:
    mark = "//" if path.endswith("Jenkinsfile") else "#"
    advice = "Edit it if you like: ci then overwrites it only with --force."
    return f"{mark} Written by modelyard ci {platform} (content {_content(body)}). {advice}\n{body}"


def _content(body: str) -> str:
    """What tells an edited file: a digest of the text with every pin taken out, since pins come and go."""
    return hashlib.sha256(references.unpin(body).encode()).hexdigest()[:12]


def _suffix(project: Project, top: Path) -> str:
    return "" if project.root == top else f"-{project.name}"


def _prefix(project: Project, top: Path) -> str:
    return "" if project.root == top else f"{project.root.relative_to(top).as_posix()}/"


def _scope(project: Project, top: Path) -> Scope:
    """What the templates may name; see docs/ci.md for the secrets and variables."""
    from stacks.toolchain.find import VERSION

    prefix = _prefix(project, top)
    if not re.fullmatch(r"[\w./-]*", prefix):
        raise UsageProblem(
            f"the folder {prefix!r} cannot be written into CI files",
            where="ci",
            expected="a path of letters, digits and . _ - /",
        )
    values = {
        "project": project.name,
        "suffix": _suffix(project, top),
        "prefix": prefix,
        "folder": prefix.rstrip("/") or ".",
        "requirements": requirements.name_in(project.root),
        "branch": _branch(top),
        "engine": VERSION,
    }
    each = _environments(project)
    return Scope(values, frozenset().union(*(one.facts for one in each)), each)


def _environments(project: Project) -> tuple[Scope, ...]:
    found = [(name, project.spec(name)) for name in project.environments()]
    if not found:
        raise UsageProblem(
            "the project has no environment",
            where=str(project.root),
            expected="a Pulumi.NAME.yaml",
            todo="modelyard init --env dev",
        )
    found.sort(key=lambda one: (one[1].protected, _rank(one[0]), one[0]))
    scopes: list[Scope] = []
    for at, (name, spec) in enumerate(found):
        values: Mapping[str, str] = {
            "environment": name,
            "key": name.upper().replace("-", "_"),
            "stage": name.replace("-", "_"),
            "blueprint": spec.blueprint,
            "confirm": name if spec.protected else "",
            "before": found[at - 1][0] if at else "",
            "stagebefore": found[at - 1][0].replace("-", "_") if at else "",
        }
        facts = {spec.blueprint, *(["protected"] if spec.protected else []), *(["follows"] if at else [])}
        scopes.append(Scope(values, frozenset(facts)))
    return tuple(scopes)


def _rank(name: str) -> int:
    first = name.split("-")[0]
    if first in _EARLY:
        return _EARLY.index(first)
    return len(_EARLY) + (_LATE.index(first) + 1 if first in _LATE else 0)


def _branch(top: Path) -> str:
    """The default branch as the remote names it; ``main`` where no remote is known."""
    head = top / ".git" / "refs" / "remotes" / "origin" / "HEAD"
    text = head.read_text().strip() if head.is_file() else ""
    name = text.removeprefix("ref: refs/remotes/origin/")
    return name if text != name and re.fullmatch(r"[\w./-]+", name) else "main"
