"""Bucket: a bucket of the environment's S3."""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

from blueprints.errors import Problem
from stacks.provider.kind import REQUIRED, Input, Kind
from stacks.provider.values import Plain

#: boto3 makes clients in one thread at a time.
_MAKING = threading.Lock()


class Bucket(Kind):
    """A bucket of an S3 server, versioned or not."""

    name = "Bucket"
    inputs = {
        "name": Input(str, "Bucket name.", REQUIRED, replaces=True),
        "endpoint": Input(str, "URL of the S3 server.", REQUIRED),
        "access_key": Input(str, "Access key.", REQUIRED),
        "secret_key": Input(str, "Secret key.", REQUIRED, secret=True),
        "versioned": Input(bool, "Keep every version of every object.", True),
    }
    outputs = {"uri": Input(str, "s3://name")}

    def id_of(self, inputs: Plain) -> str:
        return str(inputs["name"])

    def _client(self, values: Plain) -> Any:
        with _MAKING:
            return _client(str(values["endpoint"]), str(values["access_key"]), str(values["secret_key"]))

    def create(self, inputs: Plain) -> Plain:
        from botocore.exceptions import BotoCoreError, ClientError

        client = self._client(inputs)
        try:
            if not self._exists(client, inputs["name"]):
                client.create_bucket(Bucket=inputs["name"])
            status = "Enabled" if inputs["versioned"] else "Suspended"
            if inputs["versioned"] or self._versioned(client, inputs["name"]):
                client.put_bucket_versioning(
                    Bucket=inputs["name"], VersioningConfiguration={"Status": status}
                )
        except (BotoCoreError, ClientError) as error:
            raise Problem(
                f"cannot make it: {error}",
                where=f"bucket {inputs['name']}",
                todo="modelyard logs storage",
            ) from None
        return inputs | {"uri": f"s3://{inputs['name']}"}

    def _exists(self, client: Any, name: str) -> bool:
        return any(bucket["Name"] == name for bucket in client.list_buckets()["Buckets"])

    def _versioned(self, client: Any, name: str) -> bool:
        return bool(client.get_bucket_versioning(Bucket=name).get("Status") == "Enabled")

    def read(self, state: Plain) -> Plain | None:
        from botocore.exceptions import BotoCoreError, ClientError

        client = self._client(state)
        try:
            if not self._exists(client, state["name"]):
                return None
            return state | {"versioned": self._versioned(client, state["name"])}
        except (BotoCoreError, ClientError):
            # The server is down, and shows so itself; that tells nothing about what is stored in it.
            return state

    def delete(self, state: Plain) -> None:
        """Objects are data: destroy keeps them."""


@cache
def _client(endpoint: str, access_key: str, secret_key: str) -> Any:
    """One client for all buckets of a server: each costs 0.1 s of CPU to make, and any number of threads may
    use it."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name="us-east-1",
        config=Config(retries={"max_attempts": 8}, connect_timeout=3, s3={"addressing_style": "path"}),
    )
