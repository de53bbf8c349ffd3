"""Another passphrase, or another keeper, for the secrets of environments that are up.

``pulumi stack change-secrets-provider`` rewrites ``Pulumi.<env>.yaml`` and then the state: killed between the
two, neither passphrase opens both. So everything needed to go back or on is on disk first:

1. ``.modelyard/passphrase.next`` holds the new passphrase, and ``.modelyard/rotation.json`` what every
   environment looked like before.
2. Each environment whose state still has the old keeper gets its file back and is moved.
3. The new keeper has to open every environment. Only then the new passphrase takes the old one's place, and
   what only the old one opens (backups, history) is removed.

Whoever is killed leaves a journal; the next ``rotate`` goes on from it, and every other operation says so.
The engine inherits the lock with the file it reads the passphrase from, so an orphan is waited for.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from blueprints.errors import ExitCode, Problem, UsageProblem
from stacks.disk import disk_problem, write_file
from stacks.engine.events import Event, Phase
from stacks.project import Project

if TYPE_CHECKING:
    from stacks.toolchain import EngineBinary

PASSPHRASE = "passphrase"
#: How the engine spells a key service; the rest of the URL is the service's own.
SCHEMES = ("awskms://", "azurekeyvault://", "gcpkms://", "hashivault://")
#: Seconds to wait for a rotation that still runs, an orphan's included.
_PATIENCE = 30.0
_VARIABLES = ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE")


@dataclass(frozen=True)
class Rotated:
    """What a rotation did.

    Attributes:
        provider: ``passphrase``, or the URL of a key service.
        environments: Whose secrets it keeps now.
        resumed: Whether it went on from one that was killed.
        stale: The variable that still gives this shell the old passphrase; empty: none.
    """

    provider: str
    environments: tuple[str, ...]
    resumed: bool
    stale: str = ""


@dataclass(frozen=True)
class Journal:
    """A rotation that has begun.

    Attributes:
        provider: As for :class:`Rotated`.
        renews: Whether the passphrase itself changes.
        before: Environment -> ``{"file": text, "keeper": {…}}`` as they were.
    """

    provider: str
    renews: bool
    before: dict[str, dict[str, Any]]


def keeper(project: Project, environment: str) -> str:
    """What keeps the secrets of an environment: ``passphrase``, or the URL of a key service."""
    return str(project.settings(environment).get("secretsprovider") or PASSPHRASE)


def key_place(project: Project, environment: str) -> str:
    """Where the key is: a file, a variable of this shell, or the URL of a key service."""
    kept = keeper(project, environment)
    if kept != PASSPHRASE:
        return kept
    return next((name for name in _VARIABLES if os.environ.get(name)), str(project.passphrase_file))


def pending(project: Project) -> Journal | None:
    """The rotation that was begun and not finished."""
    try:
        return Journal(**json.loads(_journal(project).read_text()))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise disk_problem(error, _journal(project)) from None


def require_finished(project: Project) -> None:
    """Raise a Problem when a rotation was begun and not finished: some secrets have the new key already."""
    if _journal(project).exists():
        raise Problem(
            "a rotation of the secrets was begun and not finished",
            where=str(_journal(project)),
            expected="one key for all secrets",
            todo="modelyard secrets rotate: it goes on from there",
            code=ExitCode.RETRY,
        )


def rotated_with(project: Project, environment: str, provider: str) -> tuple[str, ...]:
    """The environments that a rotation concerns: all that share the passphrase when that changes."""
    if provider == PASSPHRASE and keeper(project, environment) == PASSPHRASE:
        return tuple(each for each in project.environments() if keeper(project, each) == PASSPHRASE)
    return (environment,)


def rotate(
    project: Project,
    environment: str,
    provider: str = "",
    passphrase: str = "",
    on_event: Callable[[Event], object] = lambda _event: None,
) -> Rotated:
    """Give the secrets of ``environment`` another key; goes on from a rotation that was killed.

    Args:
        project: The project.
        environment: The environment; those that share its passphrase come along when that changes.
        provider: ``passphrase``, or the URL of a key service; empty: the one it has.
        passphrase: The new one; empty: generated.
        on_event: Hears what is being done.

    Raises:
        Problem: The present key does not open the secrets, the new one cannot be used (everything can go back
            or on: run it again), or somebody else is at work (exit code 3).
    """
    if provider not in ("", PASSPHRASE) and not provider.startswith(SCHEMES):
        raise UsageProblem(
            f"{provider!r} keeps no secrets",
            where="--provider",
            expected=" or ".join([PASSPHRASE, *(f"{scheme}…" for scheme in SCHEMES)]),
        )
    from stacks.toolchain import find_engine

    project.prepare()
    binary = find_engine(on_event)
    with _alone(project) as keys:

        def stack(name: str) -> _Stack:
            return _Stack(project, name, binary, keys, on_event)

        journal = pending(project)
        resumed = journal is not None
        if journal is None:
            provider = provider or keeper(project, environment)
            names = rotated_with(project, environment, provider)
            renews = provider == PASSPHRASE == keeper(project, environment)
            states = {name: stack(name).keeper() for name in names}
            journal = _begin(project, provider, states, passphrase or _generated() if renews else "", keys)
        elif provider not in ("", journal.provider) or passphrase:
            require_finished(project)
        try:
            for name in journal.before:
                stack(name).move(journal)
        except Problem:
            if not resumed and not any(stack(name).moved(journal) for name in journal.before):
                _go_back(project, journal)
            raise
        _finish(project, journal)
    stale = next((name for name in _VARIABLES if os.environ.get(name)), "") if journal.renews else ""
    return Rotated(journal.provider, tuple(journal.before), resumed, stale)


def _generated() -> str:
    return secrets.token_urlsafe(32)


def _journal(project: Project) -> Path:
    return project.home / "rotation.json"


def _next(project: Project) -> Path:
    return project.home / "passphrase.next"


@contextmanager
def _alone(project: Project) -> Iterator[IO[bytes]]:
    """The file of the new passphrase, locked: by us, and by the engine that reads it."""
    path, deadline = _next(project), time.monotonic() + _PATIENCE
    while True:
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                break
        except BlockingIOError:
            if time.monotonic() > deadline:
                file.close()
                raise Problem(
                    "another rotation of the secrets is at work",
                    where=str(path),
                    todo="wait until it is done, then run the same again",
                    code=ExitCode.RETRY,
                ) from None
            time.sleep(0.1)
        file.close()
    with file:
        try:
            yield file
        finally:
            if not _journal(project).exists():
                path.unlink(missing_ok=True)


def _begin(
    project: Project, provider: str, states: dict[str, dict[str, Any]], passphrase: str, keys: IO[bytes]
) -> Journal:
    """Put on disk what it takes to go back or on; ``passphrase`` is empty when it does not change."""
    before = {
        name: {"file": project.stack_file(name).read_text(), "keeper": state}
        for name, state in states.items()
    }
    journal = Journal(provider, bool(passphrase), before)
    try:
        keys.seek(0)
        keys.truncate()
        keys.write(passphrase.encode())
        keys.flush()
        os.fsync(keys.fileno())
        write_file(_journal(project), json.dumps(asdict(journal)), mode=0o600)
    except OSError as error:
        raise disk_problem(error, project.home) from None
    return journal


def _go_back(project: Project, journal: Journal) -> None:
    """Nothing was moved: as if it had never begun."""
    for name, was in journal.before.items():
        write_file(project.stack_file(name), was["file"])
    _journal(project).unlink()


def _finish(project: Project, journal: Journal) -> None:
    """The new key is proven: it takes the old one's place, and what only the old one opens goes."""
    try:
        if journal.renews:
            shutil.copyfile(_next(project), fresh := project.home / "passphrase.proven")
            fresh.chmod(0o600)
            fresh.replace(project.passphrase_file)
        for name in journal.before:
            _forget_old(project, name)
        if all(keeper(project, name) != PASSPHRASE for name in project.environments()):
            project.passphrase_file.unlink(missing_ok=True)
        _journal(project).unlink()
    except OSError as error:
        raise disk_problem(error, project.home) from None


def _forget_old(project: Project, environment: str) -> None:
    """Backups and history of the file backend, which only the old key opens. The state is its own backup."""
    from stacks.engine.workspace import checkpoint_file

    checkpoint = checkpoint_file(project, environment)
    if checkpoint is None or project.state_folder is None:
        return
    backup = checkpoint.with_name(checkpoint.name + ".bak")
    if checkpoint.is_file():
        shutil.copy2(checkpoint, backup)
    for kind in ("history", "backups"):
        folder = project.state_folder / ".pulumi" / kind / project.name / environment
        shutil.rmtree(folder, ignore_errors=True)


class _Stack:
    """The state of one environment while its key changes."""

    def __init__(
        self,
        project: Project,
        environment: str,
        binary: EngineBinary,
        keys: IO[bytes],
        on_event: Callable[[Event], object] = lambda _event: None,
    ) -> None:
        self.project = project
        self.environment = environment
        self._binary = binary
        self._keys = keys
        self._say = on_event

    def keeper(self) -> dict[str, Any]:
        """What the recorded state says of its keeper; made when there is no state yet."""
        from pulumi.automation.errors import CommandError

        from stacks.engine.workspace import Command, open_stack

        try:
            open_stack(self.project, self.environment, Command(self._binary), self._binary)
        except CommandError as error:
            raise self._explained(error) from None
        exported = json.loads(self._run(["stack", "export"]))["deployment"]
        return dict((exported or {}).get("secrets_providers") or {})

    def moved(self, journal: Journal) -> bool:
        """Whether the state has another keeper than when it began: that is changed last, in one step."""
        return bool(self.keeper() != journal.before[self.environment]["keeper"])

    def move(self, journal: Journal) -> None:
        """Bring the state to the new keeper, if it is not there, and see that this opens everything."""
        self._unlock()
        # The file of one that was killed may name the new keeper over a state with the old.
        path, was = self.project.stack_file(self.environment), journal.before[self.environment]
        if not self.moved(journal):
            self._say(Phase("secrets", f"{self.environment}: secrets get another key", None))
            if path.read_text() != was["file"]:
                write_file(path, was["file"])
            self._run(["stack", "change-secrets-provider", journal.provider])
        self._prove(journal)

    def _prove(self, journal: Journal) -> None:
        opens = self._new_passphrase() if journal.renews else {}
        for words in (["stack", "export", "--show-secrets"], ["config", "--show-secrets", "--json"]):
            self._run(words, opens)

    def _new_passphrase(self) -> dict[str, str]:
        self._keys.seek(0)
        return {"PULUMI_CONFIG_PASSPHRASE": self._keys.read().decode()}

    def _unlock(self) -> None:
        from stacks.engine import recovery

        if self.project.state_folder is not None:
            folder, name = self.project.state_folder, self.project.name
            recovery.clear_locks(folder, name, self.environment, self._say)

    def _run(self, words: list[str], more: dict[str, str] | None = None) -> str:
        from pulumi.automation.errors import CommandError

        from stacks.engine.workspace import Command, variables

        command = Command(self._binary)
        self._keys.seek(0)
        command.stdin = self._keys
        environment = variables(self.project, self._binary) | (more or {})
        root = str(self.project.root)
        try:
            return command.run([*words, "--stack", self.environment], root, environment).stdout
        except CommandError as error:
            raise self._explained(error) from None

    def _explained(self, error: Exception) -> Problem:
        from stacks.engine.faults import explained

        where = f"environment {self.environment}"
        return explained(str(error), None, where, self.project.state_folder)
