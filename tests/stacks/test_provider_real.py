"""PostgreSQL and S3 of the provider: the real programs, in a folder that shuts other users out."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from blueprints.errors import Problem
from blueprints.spec import StorageSpec
from stacks.components.local import storage as layer
from stacks.local import postgres
from stacks.local.home import Home
from stacks.local.processes import marked
from stacks.local.supervisor import Supervisor
from stacks.provider.bucket import Bucket
from stacks.provider.file import File
from stacks.provider.port import Port
from stacks.provider.postgres import PostgresCluster, PostgresDatabase
from stacks.provider.service import Service

SUPERUSER = "superuser-password-of-the-test"


def start_postgres(home: Home) -> dict[str, Any]:
    port = Port(home).create(Port.filled({"name": "database"}))["numbers"][0]
    cluster = PostgresCluster(home)
    state = cluster.create(cluster.filled({"name": "postgres", "port": port, "password": SUPERUSER}))
    service = Service(home)
    service.create(
        service.filled(
            {
                "name": "database",
                "argv": [state["server"], "-D", state["path"]],
                "cwd": state["path"],
                "user": state["user"],
                "stop": "INT",
                "group": False,
                "probe": {"url": f"tcp://127.0.0.1:{port}"},
            }
        )
    )
    return state


def database_of(state: dict[str, Any], password: str) -> dict[str, Any]:
    return {
        "name": "tracking",
        "port": state["port"],
        "superuser_password": SUPERUSER,
        "password": password,
    }


def connect(state: dict[str, Any], password: str, database: str = "tracking") -> Any:
    import psycopg

    return psycopg.connect(
        host="127.0.0.1",
        port=state["port"],
        user="tracking",
        password=password,
        dbname=database,
        connect_timeout=3,
    )


def test_postgres_lives_through_kill_9_and_keeps_what_it_acknowledged(home: Home) -> None:
    import psycopg

    state = start_postgres(home)
    kind = PostgresDatabase(home)
    made = kind.create(database_of(state, "first"))
    [server] = [each for each in marked(home.marker("database")) if each.ppid() == supervisor_pid(home)]
    assert server.username() != "root"
    with connect(state, "first") as connection:
        connection.execute("create table kept (x int)")
        connection.execute("insert into kept values (7)")
    os.kill(server.pid, signal.SIGKILL)
    deadline = time.monotonic() + 40
    while True:
        try:
            with connect(state, "first") as connection:
                assert connection.execute("select x from kept").fetchall() == [(7,)]
            break
        except psycopg.OperationalError:
            assert time.monotonic() < deadline
            time.sleep(0.2)
    assert psutil.Process(Supervisor(home).states()["database"].pid).pid != server.pid
    # The state is lost and the role exists with another password: adopted, and opened by the new one.
    assert kind.create(database_of(state, "second"))["url"] != made["url"]
    with connect(state, "second") as connection:
        assert connection.execute("select x from kept").fetchall() == [(7,)]
    with pytest.raises(psycopg.OperationalError):
        connect(state, "first")
    with psycopg.connect(
        host="127.0.0.1", port=state["port"], user="postgres", password=SUPERUSER, autocommit=True
    ) as connection:
        connection.execute("drop database tracking")
    assert kind.read(kind.create(database_of(state, "third"))) is not None


def supervisor_pid(home: Home) -> int:
    [process] = marked(home.marker("supervisor"))
    return process.pid


def test_postgres_shows_drift_of_its_configuration_and_a_lost_database(home: Home) -> None:
    import psycopg

    state = start_postgres(home)
    cluster, kind = PostgresCluster(home), PostgresDatabase(home)
    path = Path(state["path"]) / "postgresql.conf"
    before = path.read_text()
    path.write_text(before + "fsync = off\n")
    drifted = cluster.read(state)
    assert drifted is not None
    wanted = cluster.filled({"name": "postgres", "port": state["port"], "password": SUPERUSER})
    assert cluster.changed(drifted, wanted)
    assert cluster.update(drifted, wanted) == state
    assert path.read_text() == before
    made = kind.create(database_of(state, "one"))
    assert kind.read(made) == made
    with psycopg.connect(
        host="127.0.0.1", port=state["port"], user="postgres", password=SUPERUSER, autocommit=True
    ) as connection:
        connection.execute("drop database tracking")
    assert kind.read(made) is None
    Supervisor(home).remove("database")
    assert kind.read(made) == made, "a server that is down tells nothing about its databases"


def test_a_half_made_cluster_is_made_again(home: Home) -> None:
    part = home.data / "postgres.part"
    part.mkdir(parents=True)
    (part / "PG_VERSION").write_text("18")
    postgres.initialise(home.data / "postgres", SUPERUSER)
    assert (home.data / "postgres" / "PG_VERSION").exists()
    assert not part.exists()


def start_storage(home: Home) -> dict[str, Any]:
    [port] = Port(home).create(Port.filled({"name": "storage"}))["numbers"]
    inner = Port(home).create(Port.filled({"name": "storage-inner", "count": 7}))["numbers"]
    text = layer._identities("storage-secret-of-the-test")
    identities = File(home).create({"name": "s3.json", "text": text})
    folder = home.data / "storage"
    folder.mkdir(parents=True)
    service = Service(home)
    service.create(
        service.filled(
            {
                "name": "storage",
                "argv": layer._command(str(folder), identities["path"], port, inner),
                "cwd": str(folder),
                "grace": 3,
                "probe": {"url": f"http://127.0.0.1:{port}/healthz"},
            }
        )
    )
    return {
        "endpoint": f"http://127.0.0.1:{port}",
        "access_key": "modelyard",
        "secret_key": "storage-secret-of-the-test",
    }


def test_s3_buckets_are_versioned_adopted_and_survive_kill_9(home: Home) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    reach = start_storage(home)
    kind = Bucket(home)
    wanted = kind.filled({"name": "artifacts", **reach, "versioned": StorageSpec().versioning})
    state = kind.create(wanted)
    assert kind.create(wanted) == state
    assert kind.read(state) == state
    client = kind._client(state)
    for text in (b"one", b"two"):
        client.put_object(Bucket="artifacts", Key="model", Body=text)
    client.put_bucket_versioning(Bucket="artifacts", VersioningConfiguration={"Status": "Suspended"})
    drifted = kind.read(state)
    assert drifted is not None
    assert kind.changed(drifted, wanted) == ["versioned"]
    assert kind.update(drifted, wanted) == state
    os.kill(Supervisor(home).states()["storage"].pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while True:
        try:
            assert client.get_object(Bucket="artifacts", Key="model")["Body"].read() == b"two"
            break
        except (BotoCoreError, ClientError):
            # Its parts find each other again within seconds of its first answer.
            assert time.monotonic() < deadline
            time.sleep(0.2)
    versions = client.list_object_versions(Bucket="artifacts", Prefix="model")["Versions"]
    assert len(versions) == 2
    with pytest.raises(Problem, match="bucket artifacts"):
        kind.create(wanted | {"secret_key": "wrong"})
    client.delete_object(Bucket="artifacts", Key="model")
