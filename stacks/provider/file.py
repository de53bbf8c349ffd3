"""File and DataFolder: configuration of services, and the folders that hold data."""

from __future__ import annotations

import hashlib
from pathlib import Path

from stacks.local.home import private_folder, write_private
from stacks.provider.kind import REQUIRED, Input, Kind
from stacks.provider.values import Plain


def _plain_name(inputs: Plain, key: str) -> list[tuple[str, str]]:
    value = str(inputs[key])
    if Path(value).name != value:
        return [(key, f"expected a plain file name, got {value!r}")]
    return []


class File(Kind):
    """A configuration file that only its owner reads."""

    name = "File"
    inputs = {
        "name": Input(str, "File name in the environment's config folder.", REQUIRED, replaces=True),
        "text": Input(str, "The content.", REQUIRED, secret=True),
    }
    outputs = {
        "path": Input(str, "Absolute path."),
        "digest": Input(str, "Changes when the content does; services restart on it."),
        "private": Input(bool, "Whether only its owner may read and write it."),
    }
    well = {"private": True}

    def check_values(self, inputs: Plain) -> list[tuple[str, str]]:
        return _plain_name(inputs, "name")

    def id_of(self, inputs: Plain) -> str:
        return str(inputs["name"])

    def _path(self, values: Plain) -> Path:
        return self.home.config / str(values["name"])

    def create(self, inputs: Plain) -> Plain:
        path = self._path(inputs)
        write_private(path, str(inputs["text"]))
        digest = hashlib.sha256(str(inputs["text"]).encode()).hexdigest()[:16]
        return inputs | {"path": str(path), "digest": digest, "private": True}

    def read(self, state: Plain) -> Plain | None:
        path = self._path(state)
        if not path.exists():
            return None
        # Whatever lies there now need not be text.
        text = path.read_bytes().decode(errors="replace")
        return state | {"text": text, "private": path.stat().st_mode & 0o077 == 0}

    def delete(self, state: Plain) -> None:
        self._path(state).unlink(missing_ok=True)


class DataFolder(Kind):
    """A folder of data; destroy keeps it."""

    name = "DataFolder"
    inputs = {"name": Input(str, "Folder name in the environment's data folder.", REQUIRED, replaces=True)}
    outputs = {"path": Input(str, "Absolute path.")}

    def check_values(self, inputs: Plain) -> list[tuple[str, str]]:
        return _plain_name(inputs, "name")

    def id_of(self, inputs: Plain) -> str:
        return str(inputs["name"])

    def create(self, inputs: Plain) -> Plain:
        path = private_folder(self.home.data / str(inputs["name"]))
        return inputs | {"path": str(path)}

    def read(self, state: Plain) -> Plain | None:
        return state if (self.home.data / str(state["name"])).is_dir() else None

    def delete(self, state: Plain) -> None:
        """Data is kept; the engine removes it when asked for by name."""
