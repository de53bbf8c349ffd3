"""database: PostgreSQL with a database and a role for each user of it, or SQLite files."""

from __future__ import annotations

import pulumi

from blueprints.spec import DatabaseSpec
from stacks.components.local.access import Access
from stacks.components.local.network import Network
from stacks.components.local.resources import (
    DataFolder,
    Home,
    LayerComponent,
    PostgresCluster,
    PostgresDatabase,
    Service,
)

#: Databases and roles: each with a password of its own, so that one part cannot read another's tables.
DATABASES = ("tracking", "auth", "orchestration", "monitoring")


class Database(LayerComponent):
    """The relational database.

    Attributes:
        urls: SQLAlchemy URL (secret) by database name.
        port: Port of PostgreSQL; None for SQLite.
    """

    def __init__(self, spec: DatabaseSpec, home: Home, access: Access, network: Network) -> None:
        super().__init__("database", home)
        self.port: pulumi.Output[int] | None = None
        self.services: list[pulumi.Resource] = []
        self.urls = self._sqlite() if spec.kind == "sqlite" else self._postgres(spec, access, network)

    def _sqlite(self) -> dict[str, pulumi.Output[str]]:
        folder = DataFolder("sqlite", self)

        def url(name: str) -> pulumi.Output[str]:
            return folder.path.apply(lambda path: f"sqlite:///{path}/{name}.db")

        return {name: url(name) for name in DATABASES}

    def _postgres(
        self, spec: DatabaseSpec, access: Access, network: Network
    ) -> dict[str, pulumi.Output[str]]:
        self.port = network.port("database", spec.port)
        superuser = access.secret("database-superuser")
        cluster = PostgresCluster(
            "postgres",
            {
                "name": "postgres",
                "port": self.port,
                "password": superuser,
                "max_connections": spec.max_connections,
            },
            self,
        )
        server = Service(
            "database",
            {
                "name": "database",
                "argv": [cluster.server, "-D", cluster.path],
                "cwd": cluster.path,
                "user": cluster.user,
                # Fast shutdown: clients are disconnected and the state is written. The children
                # leave the process group, and end when the server does.
                "stop": "INT",
                "group": False,
                "probe": {"url": pulumi.Output.format("tcp://127.0.0.1:{0}", self.port)},
                "triggers": [cluster.digest],
            },
            self,
            [access.supervisor],
        )
        self.services = [server]
        return {name: self._database(name, superuser, access, server) for name in DATABASES}

    def _database(
        self, name: str, superuser: pulumi.Output[str], access: Access, server: Service
    ) -> pulumi.Output[str]:
        made = PostgresDatabase(
            f"{name}-database",
            {
                "name": name,
                "port": self.port,
                "superuser_password": superuser,
                "password": access.secret(f"database-{name}"),
            },
            self,
            [server],
        )
        return made.url
