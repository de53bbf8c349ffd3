"""The other replicas of the gateway, as one replica speaks to them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
from pydantic import SecretStr

from mlops.serving.evidence import Evidence
from mlops.serving.fleet import Key
from mlops.serving.rollout.state import Deployment
from mlops.serving.traffic import Lane

log = logging.getLogger(__name__)
#: A replica that takes longer than this to answer does not hold the others up.
_PATIENCE = 2.0


@dataclass(frozen=True)
class Report:
    """What one replica has: counts of its arms, the versions it holds, and why it does not hold others."""

    replica: str
    boot: str
    lanes: Mapping[Lane, Evidence]
    loaded: frozenset[Key]
    faults: Mapping[Key, str]


class Peers:
    """Speaks to every other replica at once.

    Args:
        urls: Their private base URLs.
        token: The environment's serving token.
    """

    def __init__(self, urls: Sequence[str], token: SecretStr) -> None:
        self._urls = tuple(urls)
        headers = {"Authorization": f"Bearer {token.get_secret_value()}"}
        self._http = httpx.Client(timeout=_PATIENCE, headers=headers, trust_env=False)
        self._pool = ThreadPoolExecutor(max(1, len(self._urls)), "peers")

    def close(self) -> None:
        """Give the connections back."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._http.close()

    def tell(self, model: str, state: Deployment) -> None:
        """Hand a state to every replica; one that does not answer finds it in the registry."""
        path = f"/v2/deployments/{quote(model, safe='')}/state"
        for _ in self._pool.map(lambda url: self._post(url + path, state.to_tag()), self._urls):
            pass

    def _post(self, url: str, text: str) -> None:
        try:
            self._http.post(url, content=text).raise_for_status()
        except httpx.HTTPError as error:
            log.warning("a replica did not take a new state: %s", error)

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
            log.warning("a replica does not report: %s", error)
            return None


def write(report: Report) -> dict[str, Any]:
    """A report as plain data."""
    return {
        "boot": report.boot,
        "lanes": [[*lane, each.to_json()] for lane, each in report.lanes.items()],
        "loaded": sorted(report.loaded),
        "faults": [[*key, reason] for key, reason in report.faults.items()],
    }


def read(replica: str, data: Mapping[str, Any]) -> Report:
    """What :func:`write` made."""
    lanes = {
        Lane(model, version, arm): Evidence.from_json(each) for model, version, arm, each in data["lanes"]
    }
    loaded = frozenset((str(model), str(version)) for model, version in data["loaded"])
    faults = {(str(model), str(version)): str(reason) for model, version, reason in data["faults"]}
    return Report(replica, str(data["boot"]), lanes, loaded, faults)
