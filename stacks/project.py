"""The project folder: what ``init`` writes, and how the rest finds and reads it."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blueprints.errors import Problem, UsageProblem
from stacks.disk import disk_problem, read_yaml, write_file, write_together, yaml_text

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
            Problem: There is none, or its ``Pulumi.yaml`` cannot be read or has no fitting name.
        """
        start = start.expanduser().resolve()
        for folder in (start, *start.parents):
            path = folder / "Pulumi.yaml"
            if path.is_file():
                name = read_yaml(path).get("name")
                if not isinstance(name, str) or not name:
                    raise UsageProblem("has no name", where=str(path), expected="name: PROJECT")
                _check_name(name, f"{path} name")
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
        texts = cls.files(name, environment, spec, root)
        try:
            write_together(root, texts)
        except OSError as error:
            raise disk_problem(error, root) from None
        project = cls(root.resolve(), name)
        project.prepare()
        return project

    @staticmethod
    def files(name: str, environment: str, spec: EnvironmentSpec, root: Path) -> dict[str, str]:
        """What ``init`` would write into ``root``: relative path -> text (the passphrase is left out)."""
        from stacks.ci import requirements

        pins = requirements.name_in(root)
        return {
            ".gitignore": _with_ignored(root / ".gitignore"),
            pins: requirements.text(pins),
            f"Pulumi.{environment}.yaml": yaml_text({"config": {SPEC_KEY: _only_chosen(spec)}}),
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
        backend = read_yaml(self.root / "Pulumi.yaml").get("backend")
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

        data = self.config(environment).get(SPEC_KEY)
        where = f"{self.stack_file(environment).name} {SPEC_KEY}"
        try:
            return keys.validate({} if data is None else data, where=where)
        except keys.UnknownKey as problem:
            newer = self._newer(environment)
            if not newer:
                raise
            raise UsageProblem(
                f"{problem.what}: a newer Modelyard ({newer}) wrote this",
                where=where,
                expected=f"modelyard {newer} or later",
                todo=f"pip install --upgrade 'modelyard>={newer}'",
            ) from None

    def _newer(self, environment: str) -> str:
        """The version that last brought the environment up, when it is newer than this one; else empty. Known
        where the state is a folder."""
        import json
        from importlib.metadata import version

        folder = self.state_folder
        if folder is None:
            return ""
        try:
            path = folder / ".pulumi" / "stacks" / self.name / f"{environment}.json"
            resources = json.loads(path.read_text())["checkpoint"]["latest"]["resources"]
            recorded = str(resources[0]["outputs"]["modelyard"])
        except (OSError, ValueError, LookupError, TypeError):
            return ""
        numbers = [tuple(map(int, re.findall(r"\d+", each)[:3])) for each in (recorded, version("modelyard"))]
        return recorded if numbers[0] > numbers[1] else ""

    def config(self, environment: str) -> dict[str, Any]:
        """The ``config`` section of ``Pulumi.<environment>.yaml``: our spec, and whatever else a team keeps.

        Raises:
            UsageProblem: There is no such environment, or the file is no map of keys.
        """
        return _config(self.settings(environment), self.stack_file(environment))

    def settings(self, environment: str) -> dict[str, Any]:
        """``Pulumi.<environment>.yaml`` whole: ``config``, and what the engine keeps of its secrets provider.

        Raises:
            UsageProblem: There is no such environment, or the file is no map of keys.
        """
        return read_yaml(self.stack_file(environment))

    def write_spec(self, environment: str, spec: EnvironmentSpec) -> None:
        """Store the spec; other config of the environment stays. A new environment is made.

        Raises:
            Problem: The file cannot be written.
        """
        _check_names(self.name, environment)
        path = self.root / f"Pulumi.{environment}.yaml"
        data = read_yaml(path) if path.exists() else {}
        data["config"] = {**_config(data, path), SPEC_KEY: _only_chosen(spec)}
        try:
            write_file(path, yaml_text(data))
        except OSError as error:
            raise disk_problem(error, path) from None

    def _make_passphrase(self) -> None:
        chosen = os.environ.get("PULUMI_CONFIG_PASSPHRASE") or os.environ.get("PULUMI_CONFIG_PASSPHRASE_FILE")
        if chosen or self.passphrase_file.exists():
            return
        if any("encryptionsalt" in read_yaml(self.stack_file(name)) for name in self.environments()):
            raise Problem(
                "the passphrase of this project is not on this machine",
                where=str(self.passphrase_file),
                expected="the passphrase its secrets were encrypted with",
                todo="copy the file from where the project was made, or set PULUMI_CONFIG_PASSPHRASE",
            )
        write_file(self.passphrase_file, secrets.token_urlsafe(32) + "\n", mode=0o600)

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


def _check_name(name: str, where: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", name):
        raise UsageProblem(
            f"{name!r} is no project name",
            where=where,
            expected="1 to 100 letters, digits and . _ -, starting with a letter or digit",
        )


def _check_names(name: str, environment: str) -> None:
    _check_name(name, "name")
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
    """The text of ``.gitignore`` with our folders in it (``.venv`` is CI's); what a person wrote stays."""
    text = path.read_text() if path.is_file() else ""
    for line in (f"{HOME}/", ".venv/"):
        if line not in text.splitlines():
            text += ("" if not text or text.endswith("\n") else "\n") + f"{line}\n"
    return text


def _config(data: dict[str, Any], path: Path) -> dict[str, Any]:
    """The ``config`` section of a stack file."""
    config = data.get("config")
    if config is None:
        return {}
    if not isinstance(config, dict):
        raise UsageProblem(f"{config!r} is no map of keys", where=f"{path} config", expected=f"{SPEC_KEY}: …")
    return config
