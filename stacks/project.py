"""The project folder: what ``init`` writes, and how the rest finds and reads it."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blueprints.errors import Problem, UsageProblem

if TYPE_CHECKING:
    # pydantic is half of what a first frame would pay for; it is imported when a spec is read.
    from blueprints.spec import EnvironmentSpec

SPEC_KEY = "modelyard:spec"
HOME = ".modelyard"
#: What the engine starts: our provider, and what runs the policy pack.
_PLUGINS = ("pulumi-resource-modelyard", "pulumi-analyzer-policy-modelyard")
_STATE_URL = f"file://./{HOME}/state"

_PULUMI_YAML = f"""\
name: {{name}}
description: An MLOps environment laid down by Modelyard
runtime: python
backend:
  url: {_STATE_URL}
plugins:
  providers:
    - name: modelyard
      path: {HOME}/bin
  # Runs the policy pack: pulumi preview --policy-pack "$(modelyard policy path)"
  analyzers:
    - name: policy-modelyard
      path: {HOME}/bin
# Every plan starts from what is really there, so that up heals what drifted.
options:
  refresh: always
"""

_MAIN = '''\
"""The Pulumi program of this project: `modelyard up` and plain `pulumi up` both run it."""

from stacks.program import deploy

deploy()
'''


@dataclass(frozen=True)
class Project:
    """A folder with a ``Pulumi.yaml`` that Modelyard steers.

    Attributes:
        root: Absolute path of the folder.
        name: The Pulumi project's name.
    """

    root: Path
    name: str

    @classmethod
    def find(cls, start: Path) -> Project:
        """The project that ``start`` is in: the nearest folder above with a ``Pulumi.yaml``.

        Raises:
            Problem: There is none, or its ``Pulumi.yaml`` cannot be read.
        """
        start = start.expanduser().resolve()
        for folder in (start, *start.parents):
            path = folder / "Pulumi.yaml"
            if path.is_file():
                name = _yaml(path).get("name")
                if not isinstance(name, str) or not name:
                    raise Problem("has no name", where=str(path), expected="name: PROJECT")
                return cls(folder, name)
        raise UsageProblem(
            "no Modelyard project here or above",
            where=str(start),
            expected="a folder with a Pulumi.yaml",
            todo="modelyard init --blueprint local --yes, or modelyard -C DIR …",
        )

    @classmethod
    def create(cls, root: Path, name: str, environment: str, spec: EnvironmentSpec) -> Project:
        """Write a new project, all of it or nothing.

        Raises:
            Problem: A project is there already, a name does not fit, or the folder cannot be written.
        """
        root = root.expanduser().absolute()
        _check_names(name, environment)
        for taken in ("Pulumi.yaml", "__main__.py", f"Pulumi.{environment}.yaml"):
            if (root / taken).exists():
                raise UsageProblem(
                    "is there already, and init overwrites nothing",
                    where=str(root / taken),
                    expected="a folder without a Pulumi project",
                    todo="modelyard up, or modelyard -C NEW_DIR init …",
                )
        texts = cls.files(name, environment, spec)
        texts[".gitignore"] = _with_ignored(root / ".gitignore")
        try:
            _write_all(root, texts)
        except OSError as error:
            raise disk_problem(error, root) from None
        project = cls(root.resolve(), name)
        project.prepare()
        return project

    @staticmethod
    def files(name: str, environment: str, spec: EnvironmentSpec) -> dict[str, str]:
        """What ``init`` would write: relative path -> text (the passphrase is left out)."""
        return {
            ".gitignore": f"{HOME}/\n",
            f"Pulumi.{environment}.yaml": _dump({"config": {SPEC_KEY: _only_chosen(spec)}}),
            "__main__.py": _MAIN,
            # Last: a folder with this file is a project, so it lands when the others are there.
            "Pulumi.yaml": _PULUMI_YAML.format(name=name),
        }

    def prepare(self) -> None:
        """Make what is private to this machine and not in git: state folder, passphrase, provider link.

        Raises:
            Problem: The folder cannot be written.
        """
        try:
            for folder in (self.home, self.home / "state", self.home / "bin"):
                folder.mkdir(mode=0o700, exist_ok=True)
            self._make_passphrase()
            for plugin in _PLUGINS:
                self._link(plugin)
        except OSError as error:
            raise disk_problem(error, self.home) from None

    @property
    def home(self) -> Path:
        """``.modelyard``: everything of this project that git does not keep."""
        return self.root / HOME

    @property
    def audit_file(self) -> Path:
        """The hash-chained audit file."""
        return self.home / "audit.jsonl"

    @property
    def passphrase_file(self) -> Path:
        """The generated passphrase that encrypts secrets in the state."""
        return self.home / "passphrase"

    @property
    def backend_url(self) -> str:
        """Where Pulumi keeps the state, absolute."""
        backend = _yaml(self.root / "Pulumi.yaml").get("backend")
        url = str(backend.get("url", "")) if isinstance(backend, dict) else ""
        url = url or _STATE_URL
        if url.startswith("file://") and not url.startswith("file:///"):
            return "file://" + str((self.root / url.removeprefix("file://")).resolve())
        return url

    @property
    def state_folder(self) -> Path | None:
        """The folder of the file backend; None when the state is kept elsewhere."""
        url = self.backend_url
        return Path(url.removeprefix("file://")) if url.startswith("file://") else None

    def environments(self) -> tuple[str, ...]:
        """Names of the environments that have a ``Pulumi.<env>.yaml``."""
        return tuple(
            sorted(path.name[len("Pulumi.") : -len(".yaml")] for path in self.root.glob("Pulumi.*.yaml"))
        )

    def folder(self, environment: str) -> Path:
        """``.modelyard/<environment>``: processes, logs and data of one environment."""
        return self.home / environment

    def stack_file(self, environment: str) -> Path:
        """``Pulumi.<environment>.yaml``.

        Raises:
            UsageProblem: The environment does not exist; names those that do.
        """
        path = self.root / f"Pulumi.{environment}.yaml"
        if not path.is_file():
            known = ", ".join(self.environments()) or "none yet"
            raise UsageProblem(
                f"no environment is called {environment!r}",
                where=str(self.root),
                expected=f"one of: {known}",
                todo=f"modelyard --env {environment} init",
            )
        return path

    def spec(self, environment: str) -> EnvironmentSpec:
        """What the environment should be.

        Raises:
            UsageProblem: There is no such environment, or its spec has a bad key or value.
        """
        from blueprints import keys

        path = self.stack_file(environment)
        config = _yaml(path).get("config") or {}
        data = config.get(SPEC_KEY, {}) if isinstance(config, dict) else {}
        return keys.validate(data or {}, where=f"{path.name} {SPEC_KEY}")

    def write_spec(self, environment: str, spec: EnvironmentSpec) -> None:
        """Store the spec; other config of the environment stays. A new environment is made.

        Raises:
            Problem: The file cannot be written.
        """
        _check_names(self.name, environment)
        path = self.root / f"Pulumi.{environment}.yaml"
        data = _yaml(path) if path.exists() else {}
        config = data.get("config") or {}
        data["config"] = {**config, SPEC_KEY: _only_chosen(spec)}
        try:
            _write_file(path, _dump(data))
        except OSError as error:
            raise disk_problem(error, path) from None

    def _make_passphrase(self) -> None:
        chosen = os.environ.get("PULUMI_CONFIG_PASSPHRASE") or os.environ.get("PULUMI_CONFIG_PASSPHRASE_FILE")
        if chosen or self.passphrase_file.exists():
            return
        if any("encryptionsalt" in _yaml(self.stack_file(name)) for name in self.environments()):
            raise Problem(
                "the passphrase of this project is not on this machine",
                where=str(self.passphrase_file),
                expected="the passphrase its secrets were encrypted with",
                todo="copy the file from where the project was made, or set PULUMI_CONFIG_PASSPHRASE",
            )
        _write_file(self.passphrase_file, secrets.token_urlsafe(32) + "\n", mode=0o600)

    def _link(self, plugin: str) -> None:
        """Point ``.modelyard/bin`` at a plugin of the environment Modelyard runs in."""
        link = self.home / "bin" / plugin
        target = Path(sys.executable).parent / plugin
        if not target.exists():
            found = shutil.which(plugin)
            if found is None:
                raise Problem(
                    f"{plugin} is not installed beside {sys.executable}",
                    expected="a complete installation of modelyard",
                    todo="pip install --force-reinstall modelyard",
                )
            target = Path(found).absolute()
        if link.is_symlink() and link.readlink() == target:
            return
        fresh = link.with_name(f".{link.name}.{os.getpid()}")
        fresh.symlink_to(target)
        fresh.replace(link)


def disk_problem(error: OSError, path: Path) -> Problem:
    """What an operating system error means for the person who reads it."""
    where = str(error.filename or path)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return Problem(
            "no permission to write here", where=where, todo="choose a folder you own: modelyard -C DIR …"
        )
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Problem("the disk is full", where=where, todo="free some space, then run the same again")
    return Problem(error.strerror or str(error), where=where)


def _check_names(name: str, environment: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", name):
        raise UsageProblem(
            f"{name!r} is no project name",
            where="name",
            expected="1 to 100 letters, digits and . _ -, starting with a letter or digit",
        )
    if not re.fullmatch(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?", environment) or environment in ("state", "bin"):
        raise UsageProblem(
            f"{environment!r} is no environment name",
            where="--env",
            expected="1 to 40 lower-case letters, digits and hyphens, starting with a letter",
        )


def _only_chosen(spec: EnvironmentSpec) -> dict[str, Any]:
    """The blueprint, and every key that is not at its default: what a person reads and reviews."""
    from blueprints import keys
    from blueprints.spec import EnvironmentSpec

    chosen: dict[str, Any] = {"blueprint": spec.blueprint}
    for path, _, _ in keys.differences(EnvironmentSpec(), spec):
        *parents, leaf = path.split(".")
        target, source = chosen, spec.model_dump(mode="json")
        for parent in parents:
            target, source = target.setdefault(parent, {}), source[parent]
        target[leaf] = source[leaf]
    return chosen


def _with_ignored(path: Path) -> str:
    """The text of ``.gitignore`` with our folder in it; what a person wrote stays."""
    text = path.read_text() if path.is_file() else ""
    if f"{HOME}/" in text.splitlines():
        return text
    return text + ("" if not text or text.endswith("\n") else "\n") + f"{HOME}/\n"


def _write_all(root: Path, texts: dict[str, str]) -> None:
    """Write every file or none: into a temporary folder on the same disk, then moved in place."""
    made = next((folder for folder in (*reversed(root.parents), root) if not folder.exists()), None)
    moved: list[Path] = []
    before = {path: (root / path).read_bytes() for path in texts if (root / path).is_file()}
    staging = None
    try:
        root.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".modelyard-init-", dir=root))
        for path, text in texts.items():
            _write_file(staging / path, text)
        for path in texts:
            moved.append(root / path)
            (staging / path).replace(root / path)
    except BaseException:
        for target in moved:
            with contextlib.suppress(OSError):
                earlier = before.get(target.name)
                target.unlink(missing_ok=True) if earlier is None else target.write_bytes(earlier)
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)
        raise
    staging.rmdir()


def _write_file(path: Path, text: str, mode: int = 0o644) -> None:
    """Write in one step: a reader sees the old text or the new, whole."""
    descriptor, part = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(part).chmod(mode)
        Path(part).replace(path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def _yaml(path: Path) -> dict[str, Any]:
    import yaml

    try:
        data = yaml.load(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except OSError as error:
        raise disk_problem(error, path) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise UsageProblem(
            f"is not YAML: {getattr(error, 'problem', error)}", where=f"{path}{line}"
        ) from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise UsageProblem("is not a map of keys", where=str(path), expected="name: …")
    return data


def _dump(data: dict[str, Any]) -> str:
    import yaml

    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
