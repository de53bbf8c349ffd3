"""serving: gateway processes that share one port."""

from __future__ import annotations

import json
import sys

import pulumi

from blueprints.environment import VARIABLE
from blueprints.spec import ServingSpec
from stacks.components.local.access import Access
from stacks.components.local.network import Network
from stacks.components.local.resources import DataFolder, Home, LayerComponent, Service


class Serving(LayerComponent):
    """The gateway.

    Attributes:
        url: Base URL that all replicas share.
        token: Bearer token of callers (secret).
        replicas: Private base URL of each replica.
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
        port = network.port("serving", spec.port)
        self.url = pulumi.Output.format("http://127.0.0.1:{0}", port)
        self.token = access.secret("serving-token")
        self.names = ["gateway", *(f"gateway-{number}" for number in range(2, spec.replicas + 1))]
        self.replicas = [
            self._replica(name, number, spec, access, network, port, environment)
            for number, name in enumerate(self.names, start=1)
        ]

    def _replica(
        self,
        name: str,
        number: int,
        spec: ServingSpec,
        access: Access,
        network: Network,
        port: pulumi.Output[int],
        environment: pulumi.Output[str],
    ) -> pulumi.Output[str]:
        private = network.port(name)
        url = pulumi.Output.format("http://127.0.0.1:{0}", private)
        folder = DataFolder(name, self)
        Service(
            name,
            {
                "name": name,
                "argv": [sys.executable, "-m", "mlops.serving"],
                "env": {
                    VARIABLE: environment,
                    "MODELYARD_PORT": port.apply(str),
                    "MODELYARD_REPLICA_PORT": private.apply(str),
                    "MODELYARD_REPLICA": str(number),
                    "MODELYARD_DATA_DIR": folder.path,
                    # Only what this process acts on: another key of the spec must not restart it.
                    "MODELYARD_SPEC": json.dumps({"serving": {"trust_pickle": spec.trust_pickle}}),
                    "PYTHONUNBUFFERED": "1",
                },
                "cwd": folder.path,
                "probe": {"url": pulumi.Output.concat(url, "/v2/health/live")},
            },
            self,
            [access.supervisor],
        )
        return url
