"""monitoring: the monitor process."""

from __future__ import annotations

import sys

import pulumi

from blueprints.environment import VARIABLE
from blueprints.spec import MonitoringSpec
from stacks.components.local.access import Access
from stacks.components.local.database import Database
from stacks.components.local.network import Network
from stacks.components.local.resources import OWN, DataFolder, Home, LayerComponent, Service


class Monitoring(LayerComponent):
    """The monitor.

    Attributes:
        url: Base URL of its API.
        token: Bearer token of its API (secret).
    """

    def __init__(
        self,
        spec: MonitoringSpec,
        home: Home,
        access: Access,
        network: Network,
        database: Database,
        audit_file: str,
    ) -> None:
        super().__init__("monitoring", home)
        self._spec, self._access, self._database, self._audit = spec, access, database, audit_file
        self.port = network.port("monitoring", spec.port)
        self.url = pulumi.Output.format("http://127.0.0.1:{0}", self.port)
        self.token = access.secret("monitoring-token")

    def start(self, environment: pulumi.Output[str]) -> None:
        """Run the monitor with its view of the environment."""
        folder = DataFolder("monitor", self)
        settings = {"monitoring": self._spec.model_dump(mode="json", exclude={"enabled", "port"})}
        Service(
            "monitor",
            {
                "name": "monitor",
                "argv": [sys.executable, "-m", "mlops.monitoring"],
                "env": {
                    VARIABLE: environment,
                    "MODELYARD_PORT": self.port.apply(str),
                    "MODELYARD_DATA_DIR": folder.path,
                    "MODELYARD_SPEC": pulumi.Output.json_dumps(settings),
                    "MODELYARD_AUDIT_FILE": self._audit,
                    **OWN,
                },
                "cwd": folder.path,
                "probe": {"url": pulumi.Output.concat(self.url, "/health")},
            },
            self,
            [self._access.supervisor, *self._database.services],
        )
