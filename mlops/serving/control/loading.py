"""A version by its name becomes a runtime: from the registry, or from this disk while it is away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from blueprints.errors import ExitCode, Problem
from mlops.serving.fleet import Key
from mlops.serving.log.segments import model_name_fault
from mlops.serving.rows import Runtime
from mlops.serving.runtime.artifacts import Cache, Entry
from mlops.serving.runtime.load import Facts, Policy, load
from mlops.tracking.client import TrackingClient

log = logging.getLogger(__name__)
#: Building the environment of an isolated version may take minutes.
_LONGEST_SECONDS = 1800.0


class Loader:
    """Loads versions for the fleet; called on its threads, while runtimes live on the event loop.

    Attributes:
        facts: How each version was loaded.
    """

    def __init__(
        self,
        cache: Cache,
        policy: Policy,
        registry: TrackingClient,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._cache, self._policy, self._registry, self._loop = cache, policy, registry, loop
        self.facts: Mapping[Key, Facts] = {}

    def __call__(self, model: str, version: str) -> Runtime:
        """The runtime, which has answered its input example.

        Raises:
            Problem: In words; with the code ``RETRY`` when it is not the version's own fault.
        """
        entry = self._entry(model, version)
        waiting = asyncio.run_coroutine_threadsafe(load(entry, self._policy, self._cache), self._loop)
        try:
            loaded = waiting.result(_LONGEST_SECONDS)
        except TimeoutError:
            waiting.cancel()
            raise Problem(f"it is not loaded after {_LONGEST_SECONDS / 60:.0f} minutes") from None
        self.facts = {**self.facts, (model, version): loaded.facts}
        return loaded.runtime

    def _entry(self, model: str, version: str) -> Entry:
        if fault := model_name_fault(model):
            raise Problem(f"its name cannot be that of a table: {fault}", where=model)
        try:
            return self._cache.ensure(self._registry.version(model, version))
        except Problem as problem:
            if problem.code is not ExitCode.RETRY:
                raise
            entry = self._cache.get(model, version)
            if entry is None:
                raise
            log.info("%s version %s comes from this disk: %s", model, version, problem.what)
            return entry
