"""PostgresCluster and PostgresDatabase."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from blueprints.errors import Problem
from stacks.local import postgres
from stacks.provider.kind import REQUIRED, Input, Kind
from stacks.provider.values import Plain


class PostgresCluster(Kind):
    """The files of a PostgreSQL cluster: initialised once, configured by us."""

    name = "PostgresCluster"
    inputs = {
        "name": Input(str, "Folder name in the environment's data folder.", REQUIRED, replaces=True),
        "port": Input(int, "Port on the loopback interface.", REQUIRED),
        "password": Input(str, "Password of the superuser.", REQUIRED, secret=True),
        "max_connections": Input(int, "Connections it accepts.", 100),
    }
    outputs = {
        "path": Input(str, "Data folder."),
        "server": Input(str, "Absolute path of the server program."),
        "user": Input(str, "User it must run as; empty: the current one."),
        "digest": Input(str, "Changes with the configuration."),
    }

    def id_of(self, inputs: Plain) -> str:
        return str(inputs["name"])

    def _folder(self, values: Plain) -> Path:
        return self.home.data / str(values["name"])

    def create(self, inputs: Plain) -> Plain:
        folder = self._folder(inputs)
        postgres.initialise(folder, inputs["password"])
        text = postgres.configuration(inputs["port"], inputs["max_connections"])
        postgres.write_configuration(folder, text)
        return inputs | {
            "path": str(folder),
            "server": str(postgres.binaries() / "postgres"),
            "user": postgres.run_as(),
            "digest": hashlib.sha256(text.encode()).hexdigest()[:16],
        }

    def read(self, state: Plain) -> Plain | None:
        folder = self._folder(state)
        if not (folder / "PG_VERSION").exists():
            return None
        text = postgres.configuration(state["port"], state["max_connections"])
        path = folder / "postgresql.conf"
        if not path.exists() or path.read_bytes() != text.encode():
            return state | {"port": 0}
        return state

    def delete(self, state: Plain) -> None:
        """Data is kept; the engine removes it when asked for by name."""


class PostgresDatabase(Kind):
    """A database and the role that owns it."""

    name = "PostgresDatabase"
    inputs = {
        "name": Input(str, "Name of the database and of its role.", REQUIRED, replaces=True),
        "port": Input(int, "Port of the server.", REQUIRED),
        "superuser_password": Input(str, "Password of the superuser.", REQUIRED, secret=True),
        "password": Input(str, "Password of the role.", REQUIRED, secret=True),
    }
    outputs = {"url": Input(str, "SQLAlchemy URL with the password.", secret=True)}

    def id_of(self, inputs: Plain) -> str:
        return str(inputs["name"])

    def _url(self, values: Plain) -> str:
        name, password = quote(str(values["name"])), quote(str(values["password"]))
        return f"postgresql+psycopg://{name}:{password}@127.0.0.1:{values['port']}/{name}"

    def _connect(self, values: Plain, patience_seconds: float) -> Any:
        import psycopg

        deadline = time.monotonic() + patience_seconds
        while True:
            try:
                return psycopg.connect(
                    host="127.0.0.1",
                    port=values["port"],
                    user=postgres.SUPERUSER,
                    password=values["superuser_password"],
                    dbname="postgres",
                    autocommit=True,
                    connect_timeout=3,
                )
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    raise Problem(
                        f"PostgreSQL does not answer: {str(error).strip().splitlines()[-1]}",
                        where=f"database {values['name']}",
                        todo="modelyard logs database",
                    ) from None
                time.sleep(0.1)

    def create(self, inputs: Plain) -> Plain:
        import psycopg

        try:
            self._make(inputs)
        except psycopg.Error as error:
            raise Problem(
                f"PostgreSQL refuses: {str(error).strip().splitlines()[0]}",
                where=f"database {inputs['name']}",
                todo="modelyard logs database; then modelyard up",
            ) from None
        return inputs | {"url": self._url(inputs)}

    def _make(self, inputs: Plain) -> None:
        from psycopg import sql

        name, password = sql.Identifier(inputs["name"]), sql.Literal(inputs["password"])
        with self._connect(inputs, 20) as connection:
            known = connection.execute("select 1 from pg_roles where rolname = %s", [inputs["name"]])
            verb = "alter" if known.fetchone() else "create"
            connection.execute(sql.SQL("{} role {} login password {}").format(sql.SQL(verb), name, password))
            known = connection.execute("select 1 from pg_database where datname = %s", [inputs["name"]])
            if not known.fetchone():
                connection.execute(sql.SQL("create database {} owner {}").format(name, name))
            connection.execute(sql.SQL("revoke connect on database {} from public").format(name))

    def read(self, state: Plain) -> Plain | None:
        try:
            with self._connect(state, 0) as connection:
                query = "select 1 from pg_database where datname = %s"
                return state if connection.execute(query, [state["name"]]).fetchone() else None
        except Problem:
            # The server is down, and shows so itself; that tells nothing about what is stored in it.
            return state

    def delete(self, state: Plain) -> None:
        """Data is kept; the engine removes it when asked for by name."""
