"""tracking: the MLflow server and model registry with accounts."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import pulumi

from blueprints.spec import TrackingSpec
from stacks.components.local.access import Access
from stacks.components.local.database import Database
from stacks.components.local.network import Network
from stacks.components.local.resources import File, Home, LayerComponent, Service
from stacks.components.local.storage import Storage

ADMIN = "admin"

_AUTH = """\
[mlflow]
default_permission = NO_PERMISSIONS
database_uri = {url}
admin_username = {admin}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 60
"""


class Tracking(LayerComponent):
    """The tracking server.

    Attributes:
        url: Base URL.
        password: Password of its administrator (secret).
    """

    def __init__(
        self,
        spec: TrackingSpec,
        home: Home,
        access: Access,
        network: Network,
        database: Database,
        storage: Storage,
        connections: int,
    ) -> None:
        super().__init__("tracking", home)
        port = network.port("tracking", spec.port)
        self.url = pulumi.Output.format("http://127.0.0.1:{0}", port)
        self.password = access.secret("tracking-admin")
        auth = File(
            "basic_auth.ini",
            {
                "name": "basic_auth.ini",
                # configparser reads % as the start of an interpolation.
                "text": database.urls["auth"].apply(
                    lambda url: _AUTH.format(url=url.replace("%", "%%"), admin=ADMIN)
                ),
            },
            self,
        )
        environment: dict[str, pulumi.Input[str]] = {
            "MLFLOW_BACKEND_STORE_URI": database.urls["tracking"],
            "MLFLOW_AUTH_CONFIG_PATH": auth.path,
            "MLFLOW_AUTH_ADMIN_PASSWORD": self.password,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": access.secret("tracking-flask-key"),
            # Unset, MLflow encrypts with a passphrase that is the same in every installation of the world.
            "MLFLOW_CRYPTO_KEK_PASSPHRASE": access.secret("tracking-kek"),
            "MLFLOW_S3_ENDPOINT_URL": storage.endpoint,
            "AWS_ACCESS_KEY_ID": storage.access_key,
            "AWS_SECRET_ACCESS_KEY": storage.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
            **_fixed(spec, connections),
        }
        if storage.kind == "folder":
            for key in ("MLFLOW_S3_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
                del environment[key]
        Service(
            "tracking",
            {
                "name": "tracking",
                "argv": pulumi.Output.all(port, storage.root("artifacts")).apply(
                    lambda known: command(spec, int(known[0]), known[1])
                ),
                "env": environment,
                "probe": {
                    # A real query: /health answers before the database does.
                    "url": pulumi.Output.concat(self.url, "/api/2.0/mlflow/experiments/search"),
                    "username": ADMIN,
                    "password": self.password,
                    "body": '{"max_results": 1}',
                },
                "triggers": [auth.digest],
            },
            self,
            [access.supervisor, *database.services],
        )


def _fixed(spec: TrackingSpec, connections: int) -> Mapping[str, str]:
    # Each worker holds two engines, tracking and auth; a fifth of the connections stays for the other parts.
    share = max(2, connections * 4 // 5 // (2 * spec.workers))
    pool = min(10, share // 2)
    return {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "true",
        "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "true",
        "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": str(pool),
        "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW": str(share - pool),
        "PYTHONUNBUFFERED": "1",
    }


def command(spec: TrackingSpec, port: int, artifacts: str) -> list[str]:
    """The server's command line: nothing secret in it."""
    hosts = ["localhost", "127.0.0.1", *spec.allowed_hosts]
    allowed = [*hosts, *(f"{host}:{port}" for host in hosts)]
    words = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--app-name=basic-auth",
        "--host=127.0.0.1",
        f"--port={port}",
        f"--workers={spec.workers}",
        "--serve-artifacts",
        f"--artifacts-destination={artifacts}",
        f"--allowed-hosts={','.join(allowed)}",
        f"--cors-allowed-origins=http://localhost:{port},http://127.0.0.1:{port}",
    ]
    if spec.workers > 1:
        # At the default of 5 s a busy machine kills its workers before they are up, again and again.
        words.append("--uvicorn-opts=--timeout-worker-healthcheck 60")
    return words
