"""One gateway process, put together: data plane, versions, prediction log and control plane."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Sequence

import uvicorn
from pydantic import SecretStr

from mlops.serving.control.admin import Admin
from mlops.serving.control.conductor import Conductor
from mlops.serving.control.desired import Desired
from mlops.serving.control.judge import GateJudge
from mlops.serving.control.loading import Loader
from mlops.serving.control.peers import Peers
from mlops.serving.control.ports import Replica
from mlops.serving.control.routing import Routing
from mlops.serving.control.telling import Teller
from mlops.serving.control.truth import LoggedTruth
from mlops.serving.control.view import View
from mlops.serving.fleet import Fleet
from mlops.serving.front.client import join, leave
from mlops.serving.gateway.app import Gateway
from mlops.serving.gateway.callers import FollowedCallers
from mlops.serving.gateway.limits import Limits
from mlops.serving.gateway.server import server
from mlops.serving.log import Policy as LogPolicy
from mlops.serving.log import PredictionLog
from mlops.serving.rollout.strategy import parse
from mlops.serving.rows import Batch, Call, Outputs, Runtime
from mlops.serving.runtime.artifacts import Cache
from mlops.serving.runtime.load import Policy
from mlops.serving.settings import Settings, listen
from mlops.serving.traffic import Traffic
from mlops.tracking.client import TrackingClient

log = logging.getLogger(__name__)
_GIB, _MIB = 1024**3, 1024**2


class Process:
    """A gateway from its settings; :meth:`run` serves until SIGTERM.

    Raises:
        Problem: The default strategy of the spec is no strategy.
    """

    def __init__(self, settings: Settings, loop: asyncio.AbstractEventLoop) -> None:
        spec, environment = settings.spec.serving, settings.environment
        self._settings = settings
        token = environment.serving.token if environment.serving else SecretStr("")
        registry = TrackingClient(environment.tracking)
        self._log = PredictionLog(
            settings.folder / "log",
            environment,
            LogPolicy.of(spec.log, environment),
            spec.log.commit_seconds,
            leader=settings.replica == 1,
        )
        cache = Cache(settings.folder / "versions", environment.tracking, int(spec.cache_gb * _GIB))
        policy = Policy(
            trust_pickle=spec.trust_pickle,
            isolation=spec.isolation,
            memory=spec.memory_mb * _MIB,
            threads=spec.threads,
            workers=spec.workers,
            environments_bytes=int(spec.environments_gb * _GIB),
        )
        self._traffic = Traffic()
        self._routing = Routing(self._traffic, self._record_shadow)
        loader = Loader(cache, policy, registry, loop)
        self._fleet = Fleet(loader, changed=self._changed)
        desired = Desired(settings.folder / "deployments", registry, writes=settings.replica == 1)
        self._peers = Peers(settings.peers, token)
        self._teller = Teller(registry, environment.monitoring)
        self._conductor = Conductor(
            Replica(f"replica {settings.replica}", settings.replica == 1, parse(spec.strategy)),
            registry,
            desired,
            self._fleet,
            self._traffic,
            self._routing,
            self._peers,
            GateJudge(LoggedTruth(environment)),
            self._teller,
            pin=cache.pin,
        )
        view = View(
            desired,
            self._fleet,
            self._traffic,
            self._routing,
            self._lag,
            self._conductor.seen,
            lambda: loader.facts,
        )
        admin = Admin(self._conductor, view.rows)
        self._callers = FollowedCallers(environment.storage, settings.folder, token.get_secret_value())
        limits = Limits(
            body_bytes=spec.limits.body_mb * _MIB,
            rows=spec.limits.rows,
            concurrency=spec.limits.concurrency,
            queue=spec.limits.queue,
            deadline_seconds=spec.limits.deadline_seconds,
        )
        self.gateway = Gateway(
            self._routing,
            self._log,
            self._callers,
            limits,
            {"/v2/deployments": admin.deployments, "/v2/evidence": admin.evidence},
        )

    def _record_shadow(
        self, runtime: Runtime, call: Call, batch: Batch, outputs: Outputs, seconds: float
    ) -> None:
        self._log.append(runtime.model, runtime.version, "shadow", call, batch, outputs, seconds)

    def _changed(self) -> None:
        self._conductor.changed()

    def _lag(self, model: str) -> tuple[int, str]:
        backlog = self._log.backlog(model)
        return backlog.rows, backlog.fault

    async def run(self) -> None:
        """Serve until SIGTERM: then out of the front, what is in flight finished, the log flushed."""
        self._fleet.start()
        self._log.start()
        self._callers.start()
        self._conductor.start()
        # The front takes this replica out before its sockets close, so uvicorn's own handlers come too early.
        serving = server(self.gateway, signals=False)
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ended.set)
        running = asyncio.create_task(_serve(serving, self._sockets()))
        join(self._settings.front, self._settings.replica)
        await asyncio.wait([running, asyncio.create_task(ended.wait())], return_when=asyncio.FIRST_COMPLETED)
        seconds = self._settings.spec.serving.limits.deadline_seconds
        await leave(self._settings.front, self._settings.replica, self.gateway.in_flight, seconds)
        serving.should_exit = True
        await running
        await asyncio.to_thread(self._close)

    def _sockets(self) -> list[socket.socket]:
        settings = self._settings
        # With a front the port is this replica's own; without, replicas share it.
        sockets = [listen(settings.port, shared=settings.front is None)]
        if settings.replica_port:
            sockets.append(listen(settings.replica_port))
        return sockets

    def _close(self) -> None:
        self._callers.stop()
        self._conductor.stop()
        self._peers.close()
        self._fleet.stop()
        self._log.close()
        self.gateway.close()


async def _serve(serving: uvicorn.Server, sockets: Sequence[socket.socket]) -> None:
    await serving.serve(sockets=list(sockets))
