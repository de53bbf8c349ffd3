"""The other replicas of the gateway, as one replica speaks to them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx
from pydantic import SecretStr

from blueprints.errors import ExitCode, Problem, UsageProblem
from mlops.serving.evidence import Evidence
from mlops.serving.fleet import Key
from mlops.serving.rollout.state import Deployment
from mlops.serving.traffic import Lane

log = logging.getLogger(__name__)
#: A replica that takes longer than this to answer does not hold the others up.
_PATIENCE = 2.0
#: A new state waits this long for the others to have it: one that hangs answers nobody meanwhile, and is
#: handed the state later.
_TOLD_SECONDS = 0.5
#: The one that leads is asked to act when it answers this fast.
_ALIVE_SECONDS = 1.0
#: Longer than a version may take to be loaded ahead of a rollback.
_ACT_SECONDS = 70.0


@dataclass(frozen=True)
class Report:
    """What one replica has: counts of its arms, the versions it holds, why it does not hold others, how new
    its states are (:func:`mlops.serving.control.desired.stamp`), and the bytes that versions with a process
    of their own hold in it."""

    replica: str
    boot: str
    lanes: Mapping[Lane, Evidence]
    loaded: frozenset[Key]
    faults: Mapping[Key, str]
    states: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    memory: Mapping[Key, int] = field(default_factory=dict)


class Peers:
    """Speaks to every other replica at once.

    Args:
        urls: Their private base URLs; that of the one which leads comes first, unless it is this one.
        token: The environment's serving token.
    """

    def __init__(self, urls: Sequence[str], token: SecretStr) -> None:
        self._urls = tuple(urls)
        headers = {"Authorization": f"Bearer {token.get_secret_value()}"}
        self._http = httpx.Client(timeout=_PATIENCE, headers=headers, trust_env=False)
        # Twice: one that hangs must not keep the next question from the others.
        self._pool = ThreadPoolExecutor(max(1, 2 * len(self._urls)), "peers")

    def close(self) -> None:
        """Give the connections back."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._http.close()

    def tell(self, model: str, state: Deployment) -> None:
        """Hand a state to every replica; returns when all have it, or soon."""
        wait([self._pool.submit(self.hand, url, model, state) for url in self._urls], _TOLD_SECONDS)

    def hand(self, url: str, model: str, state: Deployment) -> None:
        """Hand a state to one replica; one that does not answer gets it later, from us or the registry."""
        try:
            self._http.post(f"{url}{_path(model, 'state')}", content=state.to_tag()).raise_for_status()
        except httpx.HTTPError as error:
            log.warning("a replica did not take a new state: %s", _words(error))

    def state(self, url: str, model: str) -> Deployment | None:
        """The state of a model as one replica knows it; None: it does not say."""
        try:
            answer = self._http.get(f"{url}{_path(model, 'state')}")
            answer.raise_for_status()
            return Deployment.from_tag(str(answer.json()["state"]))
        except (httpx.HTTPError, ValueError, KeyError, TypeError, Problem) as error:
            log.warning("a replica does not hand over its state of %s: %s", model, _words(error))
            return None

    def preload(self, model: str, version: str) -> Callable[[], None]:
        """Have every replica load a version; returns what waits for those that answer."""
        working = [self._pool.submit(self._load, url, model, version) for url in self._urls]

        def waited() -> None:
            wait(working, _ACT_SECONDS)

        return waited

    def _load(self, url: str, model: str, version: str) -> None:
        if not self._alive(url):
            return
        try:
            path = _path(model, "preload")
            self._http.post(url + path, json={"version": version}, timeout=_ACT_SECONDS).raise_for_status()
        except httpx.HTTPError as error:
            log.warning("a replica does not load %s version %s ahead: %s", model, version, _words(error))

    def forward(self, model: str, action: str, what: Mapping[str, Any]) -> Deployment | None:
        """Have the replica that leads act; the new state. None: it does not answer.

        Raises:
            Problem: It refuses, in words.
        """
        if not self._urls or not self._alive(self._urls[0]):
            return None
        try:
            answer = self._http.post(
                self._urls[0] + _path(model, action), json=dict(what), timeout=_ACT_SECONDS
            )
            data = answer.json()
        except (httpx.TransportError, ValueError) as error:
            log.warning("the replica that leads did not act: %s", _words(error))
            return None
        if answer.is_success:
            return Deployment.model_validate(data["desired"])
        code = ExitCode.RETRY if answer.status_code == 503 else ExitCode.FAILED
        words = {name: str(data.get(name) or "") for name in ("expected", "todo")}
        if answer.status_code == 400:
            raise UsageProblem(str(data.get("error")), **words)
        raise Problem(str(data.get("error")), code=code, **words)

    def _alive(self, url: str) -> bool:
        try:
            return self._http.get(f"{url}/v2/health/live", timeout=_ALIVE_SECONDS).is_success
        except httpx.HTTPError:
            return False

    def reports(self) -> tuple[list[Report], int]:
        """The reports of those that answer, and how many do not."""
        found = [report for report in self._pool.map(self._report, self._urls) if report is not None]
        return found, len(self._urls) - len(found)

    def _report(self, url: str) -> Report | None:
        try:
            answer = self._http.get(f"{url}/v2/evidence")
            answer.raise_for_status()
            return read(url, answer.json())
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            log.warning("a replica does not report: %s", _words(error))
            return None


def write(report: Report) -> dict[str, Any]:
    """A report as plain data."""
    return {
        "boot": report.boot,
        "lanes": [[*lane, each.to_json()] for lane, each in report.lanes.items()],
        "loaded": sorted(report.loaded),
        "faults": [[*key, reason] for key, reason in report.faults.items()],
        "states": {model: list(each) for model, each in report.states.items()},
        "memory": [[*key, held] for key, held in report.memory.items()],
    }


def read(replica: str, data: Mapping[str, Any]) -> Report:
    """What :func:`write` made."""
    lanes = {
        Lane(model, version, arm): Evidence.from_json(each) for model, version, arm, each in data["lanes"]
    }
    loaded = frozenset((str(model), str(version)) for model, version in data["loaded"])
    faults = {(str(model), str(version)): str(reason) for model, version, reason in data["faults"]}
    # A replica of a release before says nothing of its states or of memory.
    states = {str(model): (int(each[0]), float(each[1])) for model, each in data.get("states", {}).items()}
    memory = {(str(model), str(version)): int(held) for model, version, held in data.get("memory", ())}
    return Report(replica, str(data["boot"]), lanes, loaded, faults, states, memory)


def _path(model: str, action: str) -> str:
    return f"/v2/deployments/{quote(model, safe='')}/{action}"


def _words(error: Exception) -> str:
    """httpx explains a status with a link; the number is enough."""
    if isinstance(error, httpx.HTTPStatusError):
        return f"answer {error.response.status_code}"
    return str(error) or type(error).__name__
