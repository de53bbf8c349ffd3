"""The desired state of every model: in the registry, and on this disk for when the registry is away."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from blueprints.errors import Problem
from mlops.serving.rollout.state import TAG, Deployment
from mlops.serving.rollout.weights import CHAMPION, SHADOW
from mlops.tracking.client import TrackingClient
from mlops.tracking.entities import RegisteredModel

CHALLENGER = "challenger"
#: A model that the registry has not listed for so long was deleted …
GONE_SECONDS = 60.0
#: … or, when it lists fewer models than went at once (another or a restored database), after so long.
LOST_SECONDS = 86400.0
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Moved:
    """A plain MLflow client moved the alias ``champion`` of a model to ``version``, or took it off (None)."""

    model: str
    version: str | None


class Desired:
    """States by model. A state of a higher revision replaces one of a lower, wherever it comes from.

    Args:
        folder: Private to this replica, survives restarts.
        client: The registry.
        writes: This replica brings what the registry does not have yet to it.
        clock: Seconds that only grow.
    """

    def __init__(
        self, folder: Path, client: TrackingClient, writes: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder, self._client, self._writes, self._clock = folder, client, writes, clock
        # Since when each model is not listed. Kept when it is forgotten: a replica that still knows it hands
        # it back for a while.
        self._unlisted: dict[str, float] = {}
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        self.states: Mapping[str, Deployment] = dict(self._kept())
        #: Models whose tag cannot be read, or that the registry does not list, in words.
        self.faults: Mapping[str, str] = {}

    def _kept(self) -> list[tuple[str, Deployment]]:
        found = []
        for path in sorted(self._folder.glob("*.json")):
            try:
                data = json.loads(path.read_text())
                found.append((str(data["model"]), Deployment.from_tag(str(data["state"]))))
            except (OSError, ValueError, KeyError, TypeError, Problem) as error:
                # The registry has it too; what cannot be read is not worth keeping the gateway down for.
                log.warning("%s cannot be read and is left out: %s", path.name, error)
        return found

    def put(self, model: str, state: Deployment) -> bool:
        """Take a state over when it is newer; it is on this disk when this returns. Whether it was newer."""
        with self._lock:
            if not newer(state, self.states.get(model)):
                return False
            self._keep(model, state)
            self.states = {**self.states, model: state}
            return True

    def _keep(self, model: str, state: Deployment) -> None:
        path = self._folder / f"{quote(model, safe='')}.json"
        part = path.with_suffix(".part")
        with part.open("w") as file:
            json.dump({"model": model, "state": state.to_tag()}, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)

    def _forget(self, model: str) -> None:
        with self._lock:
            self.states = {name: state for name, state in self.states.items() if name != model}
            (self._folder / f"{quote(model, safe='')}.json").unlink(missing_ok=True)

    def sync(self) -> list[Moved]:
        """Bring disk and registry together; returns aliases that others moved.

        Raises:
            Problem: The registry does not answer; what is known stays as it is.
        """
        moved: list[Moved] = []
        faults: dict[str, str] = {}
        # One that is deployed while the registry lists is not in its list, and not gone.
        known = set(self.states)
        models = {model.name: model for model in self._client.models()}
        for name, model in models.items():
            try:
                remote = Deployment.from_tag(model.tags.get(TAG, ""))
            except Problem as problem:
                faults[name] = problem.what
                remote = Deployment()
            mine = self.states.get(name)
            if newer(remote, mine):
                self.put(name, remote)
            elif mine is not None and newer(mine, remote):
                if self._writes:
                    by_hand = _moved_meanwhile(model, remote, mine)
                    self._write(model, mine, keep=by_hand is not None)
                    moved += [by_hand] if by_hand else []
                continue
            alias, state = model.aliases.get(CHAMPION), self.states.get(name)
            if self._writes and alias != (state.champion if state else None):
                moved.append(Moved(name, alias))
        faults |= self._gone(known, set(models))
        self.faults = faults
        return moved

    def _gone(self, known: Collection[str], listed: Collection[str]) -> dict[str, str]:
        """Forget what was deleted from the registry; what it may only have lost is served on, in words."""
        now = self._clock()
        gone = set(known).difference(listed)
        self._unlisted = {name: at for name, at in self._unlisted.items() if name not in listed}
        enough = GONE_SECONDS if len(listed) >= len(gone) else LOST_SECONDS
        faults = {}
        for name in gone:
            if now - self._unlisted.setdefault(name, now) >= enough:
                log.warning("%s is forgotten: the registry has not listed it for %.0f s", name, enough)
                self._forget(name)
            else:
                faults[name] = f"the registry does not list {name}; it is served on for {_long(enough)}"
        return faults

    def _write(self, model: RegisteredModel, state: Deployment, keep: bool) -> None:
        """Aliases first: a death in between leaves an alias that looks moved by hand to where
        it should be. ``keep``: ``champion`` was moved by hand and stays."""
        rollout = state.active
        wanted = {
            CHAMPION: state.champion,
            CHALLENGER: rollout.candidate if rollout else None,
            SHADOW: state.shadow,
        }
        for alias, version in wanted.items():
            present = model.aliases.get(alias)
            if keep and alias == CHAMPION:
                continue
            if version and present != version:
                self._client.set_alias(model.name, alias, version)
            elif version is None and present is not None and alias != CHAMPION:
                self._client.remove_alias(model.name, alias)
        self._client.set_model_tag(model.name, TAG, state.to_tag())


def _moved_meanwhile(model: RegisteredModel, remote: Deployment, mine: Deployment) -> Moved | None:
    """Whether somebody moved ``champion`` after ``remote`` was written and before ``mine`` is: to write over
    it would lose what they asked for."""
    alias = model.aliases.get(CHAMPION)
    ours = {each.champion for each in (remote, mine)}
    ours |= {each.rollout.candidate for each in (remote, mine) if each.rollout}
    return Moved(model.name, alias) if alias and alias not in ours else None


def _long(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 3600 else f"{seconds / 3600:.0f} h"


def newer(one: Deployment, other: Deployment | None) -> bool:
    """Whether ``one`` replaces ``other``. Two replicas that acted at once made the same revision; the later
    act stands then, on both."""
    return stamp(one) > (stamp(other) if other else (0, 0.0))


def stamp(state: Deployment) -> tuple[int, float]:
    """What orders states."""
    # The tag holds times in milliseconds; a state without a revision is none.
    return (state.revision, round(state.updated, 3)) if state.revision else (0, 0.0)
