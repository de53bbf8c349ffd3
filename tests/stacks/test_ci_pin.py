"""Tags become digests: asked of real git repositories and of a real registry API, never invented."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from blueprints.errors import ExitCode, Problem, UsageProblem
from blueprints.keys import assign
from blueprints.spec import EnvironmentSpec
from stacks.ci import files, references, requirements
from stacks.ci.pin import pin_project
from stacks.ci.references import Reference
from stacks.ci.resolve import resolve
from stacks.engine import Engine
from stacks.project import Project
from tests.servers import Answer, Request, serving

COMMIT, DIGEST = "0123456789" * 4, "sha256:" + "ab" * 32
WORKFLOW = """\
# uses: commented/out@v1
    - uses: actions/checkout@v6.0.2
    - uses: "actions/cache/save@v5.0.5"  # saved late
    - uses: ./.github/actions/local
    - uses: docker://alpine:3.20
  image: python:3.12-bookworm
  image: $CI_IMAGE
  image: true
  flights:image: host.example:5000/team/model:1.4 # ours
        image 'python:3.12'
"""


def test_every_form_of_a_reference_is_found() -> None:
    assert [str(reference) for reference, _ in references.references(WORKFLOW)] == [
        "actions/checkout@v6.0.2",
        "actions/cache/save@v5.0.5",
        "alpine:3.20",
        "python:3.12-bookworm",
        "host.example:5000/team/model:1.4",
        "python:3.12",
    ]


def test_a_pin_keeps_the_tag_readable_and_can_be_taken_out() -> None:
    digests = {
        reference: COMMIT if reference.kind == "action" else DIGEST
        for reference, _ in references.references(WORKFLOW)
    }
    pinned = references.pin(WORKFLOW, digests)
    assert f"- uses: actions/checkout@{COMMIT} # v6.0.2\n" in pinned
    assert f'- uses: "actions/cache/save@{COMMIT}" # v5.0.5 saved late\n' in pinned
    assert f"- uses: docker://alpine:3.20@{DIGEST}\n" in pinned
    assert f"image: host.example:5000/team/model:1.4@{DIGEST} # ours\n" in pinned
    assert f"image 'python:3.12@{DIGEST}'\n" in pinned
    assert "image: $CI_IMAGE\n" in pinned
    assert all(digest for _, digest in references.references(pinned))
    assert [each for each, _ in references.references(pinned)] == list(digests)
    assert references.pin(pinned, dict.fromkeys(digests, "0" * 40)) == pinned
    assert references.unpin(pinned) == WORKFLOW.replace('"  # saved', '" # saved')


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", *identity, "-C", str(folder), *words], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def actions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of bare repositories that git reads wherever the public server is asked."""
    folder = tmp_path / "server"
    for key, value in {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.file://{folder}/.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://github.com/",
    }.items():
        monkeypatch.setenv(key, value)
    monkeypatch.delenv("GITHUB_SERVER_URL", raising=False)
    return folder


def publish(server: Path, name: str, *tags: str, annotated: bool = True) -> str:
    """A bare repository with one commit under every tag. Returns the commit."""
    work = server / "work" / name
    work.mkdir(parents=True)
    git(work, "init", "--quiet")
    git(work, "commit", "--quiet", "--allow-empty", "-m", name)
    for tag in tags:
        git(work, "tag", *(["-a", "-m", tag] if annotated else []), tag)
    git(work, "commit", "--quiet", "--allow-empty", "-m", "later")
    (server / name).parent.mkdir(parents=True, exist_ok=True)
    git(work, "clone", "--quiet", "--bare", str(work), str(server / name))
    return git(work, "rev-parse", f"{tags[0]}^{{commit}}")


def test_the_commit_of_a_tag_light_or_annotated(actions: Path) -> None:
    light = publish(actions, "team/light", "v1.0.0", annotated=False)
    annotated = publish(actions, "team/annotated", "v2.0.0", "v2.0.0-rc")
    found = resolve(
        [Reference("action", "team/light", "v1.0.0"), Reference("action", "team/annotated/sub", "v2.0.0")]
    )
    assert list(found.values()) == [light, annotated]
    # The tag object has another name than the commit: that one must not be taken.
    assert git(actions / "work/team/annotated", "rev-parse", "v2.0.0") != annotated


@dataclass
class Registry:
    """The part of the registry API that a digest needs; ``locked`` asks for an anonymous token first."""

    locked: bool = True
    tells_digest: bool = True
    manifests: dict[str, bytes] = field(default_factory=lambda: {"team/model:1.4": b'{"schemaVersion": 2}'})
    url: str = ""
    seen: list[Request] = field(default_factory=list)

    def __call__(self, request: Request) -> Answer:
        self.seen.append(request)
        if request.path == "/token":
            right = request.query == {"service": "registry.example", "scope": "repository:team/model:pull"}
            return Answer(200, {"token": "anonymous"}) if right else Answer(400, {})
        if self.locked and request.headers.get("authorization") != "Bearer anonymous":
            words = f'realm="{self.url}/token",service="registry.example",scope="repository:team/model:pull"'
            return Answer(401, {}, {"WWW-Authenticate": f"Bearer {words}"})
        name, _, tag = request.path.removeprefix("/v2/").partition("/manifests/")
        body = self.manifests.get(f"{name}:{tag}")
        if body is None:
            return Answer(404, {})
        assert "image.index" in request.headers["accept"]
        digest = {"Docker-Content-Digest": self.digest(body)} if self.tells_digest else {}
        return Answer(200, body, digest)

    @staticmethod
    def digest(body: bytes) -> str:
        return "sha256:" + hashlib.sha256(body).hexdigest()

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")


@contextmanager
def running(registry: Registry) -> Iterator[Registry]:
    with serving(registry) as url:
        registry.url = url
        yield registry


@pytest.mark.parametrize(("locked", "tells"), [(True, True), (False, True), (True, False)])
def test_the_digest_of_an_image(locked: bool, tells: bool) -> None:
    with running(Registry(locked=locked, tells_digest=tells)) as registry:
        reference = Reference("image", f"{registry.host}/team/model", "1.4")
        assert resolve([reference]) == {reference: registry.digest(b'{"schemaVersion": 2}')}
    # The body is fetched only where no digest is told.
    assert ("GET" in [each.method for each in registry.seen if each.path != "/token"]) is not tells


def test_a_digest_that_is_none_is_not_taken() -> None:
    with running(Registry(locked=False)) as registry:
        registry.digest = lambda body: "sha256:1"  # type: ignore[method-assign]
        with pytest.raises(Problem, match="digest is not one"):
            resolve([Reference("image", f"{registry.host}/team/model", "1.4")])


def test_each_that_cannot_be_resolved_is_named_with_its_reason(actions: Path) -> None:
    publish(actions, "team/light", "v1.0.0")
    with running(Registry()) as registry:
        host = registry.host
        wanted = [
            Reference("action", "team/light", "v1.0.0"),
            Reference("action", "team/light", "v9"),
            Reference("action", "team/nowhere", "v1"),
            Reference("image", f"{host}/team/model", "9.9"),
        ]
        with pytest.raises(Problem) as caught:
            resolve(wanted)
    assert caught.value.code is ExitCode.RETRY
    told = caught.value.what
    assert told.startswith("3 of 4 cannot be resolved, so nothing was written")
    assert "team/light@v9 (has no tag v9)" in told
    assert "team/nowhere@v1" in told
    assert f"{host}/team/model:9.9 (the registry has no such image or tag)" in told
    with pytest.raises(Problem, match="does not answer"):
        resolve([Reference("image", f"{host}/team/model", "1.4")])


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project in a repository, with files of CI and one protected environment."""
    top = tmp_path / "repo"
    top.mkdir()
    git(top, "init", "--quiet")
    made = Project.create(top, "flights", "prod", assign(EnvironmentSpec(), ["protected=true"]))
    files.write(made, files.files(made, "github"), force=False)
    return made


def texts(project: Project) -> dict[Path, bytes]:
    return {
        path: path.read_bytes()
        for path in project.root.rglob("*")
        if path.is_file() and ".git/" not in str(path)
    }


def test_everything_is_pinned_or_nothing_is_touched(project: Project, actions: Path) -> None:
    with running(Registry()) as registry:
        stack = project.stack_file("prod")
        stack.write_text(stack.read_text() + f"  flights:image: {registry.host}/team/model:1.4\n")
        before = texts(project)
        commits = {
            name: publish(actions, name, tag)
            for name, tag in (("actions/checkout", "v6.0.2"), ("actions/setup-python", "v6.2.0"))
        }
        with pytest.raises(Problem, match=r"1 of 4 .*actions/cache@v5\.0\.5"):
            pin_project(project)
        assert texts(project) == before
        commits["actions/cache"] = publish(actions, "actions/cache", "v5.0.5")
        done = pin_project(project)
    assert {each.name: digest for each, digest in done.digests.items() if each.kind == "action"} == commits
    workflow = (project.root / ".github/workflows/modelyard.yml").read_text()
    assert workflow.count(f"uses: actions/checkout@{commits['actions/checkout']} # v6.0.2\n") == 3
    assert f"/team/model:1.4@{Registry.digest(Registry().manifests['team/model:1.4'])}\n" in stack.read_text()
    assert files.unpinned(project) == ()
    # Nothing is asked again, the files still count as ours, and writing them again keeps the pins.
    assert pin_project(project).written == ()
    assert {each.state for each in files.files(project, "github")} == {"same"}
    files.write(project, files.files(project, "github"), force=True)
    assert (project.root / ".github/workflows/modelyard.yml").read_text() == workflow


def test_a_protected_environment_is_not_brought_up_by_what_can_be_moved(project: Project) -> None:
    with pytest.raises(
        UsageProblem, match=r"prod is protected.*actions/checkout@v6\.0\.2 in modelyard\.yml"
    ) as caught:
        Engine(project, "prod").up()
    assert caught.value.todo.startswith("modelyard pin")
    files.require_pins(
        Project.create(project.root.parent / "plain", "plain", "prod", EnvironmentSpec()), "prod"
    )


def test_modelyard_itself_is_pinned_by_the_archive_that_is_given(project: Project, tmp_path: Path) -> None:
    path = project.root / "requirements.txt"
    version = requirements.own_pin().version
    shutil.rmtree(project.root / ".github")  # so that only Modelyard is left to pin
    assert requirements.unpinned(path) == f"modelyard=={version}"
    # This installation is a checkout: no hash is known, so none is written.
    assert pin_project(project).left
    assert requirements.unpinned(path)
    wheel = tmp_path / f"modelyard-{version}-py3-none-any.whl"
    wheel.write_bytes(b"an archive")
    assert pin_project(project, wheel).left == ""
    assert (
        f"\nmodelyard=={version} \\\n    --hash=sha256:{hashlib.sha256(b'an archive').hexdigest()}\n"
        in path.read_text()
    )
    assert requirements.unpinned(path) is None
    other = wheel.rename(tmp_path / "modelyard-9.9-py3-none-any.whl")
    with pytest.raises(UsageProblem, match="is no archive of modelyard"):
        pin_project(project, other)
