"""Secret: a generated password or key."""

from __future__ import annotations

import secrets

from stacks.local.home import write_private
from stacks.provider.kind import REQUIRED, Input, Kind
from stacks.provider.values import Plain


class Secret(Kind):
    """A generated secret. It lives beside the data it opens: data that destroy keeps stays readable, because
    the next up adopts the same secret."""

    name = "Secret"
    inputs = {
        "name": Input(str, "What the secret is for.", REQUIRED, replaces=True),
        "length": Input(int, "Characters, 16 to 128, letters and digits.", 32),
    }
    outputs = {"value": Input(str, "The secret.", secret=True)}

    def check_values(self, inputs: Plain) -> list[tuple[str, str]]:
        length = inputs.get("length", 32)
        if isinstance(length, int) and not 16 <= length <= 128:
            return [("length", f"expected 16 to 128, got {length}")]
        return []

    def id_of(self, inputs: Plain) -> str:
        return str(inputs["name"])

    def changed(self, state: Plain, inputs: Plain) -> list[str]:
        # A longer length is for the next secret; changing this one would lock people out of their data.
        return ["name"] if state.get("name") != inputs.get("name") else []

    def create(self, inputs: Plain) -> Plain:
        path = self.home.secrets / str(inputs["name"])
        if not path.exists() or not path.stat().st_size:
            # Letters and digits only: safe in URLs, shell words and configuration files alike.
            alphabet = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
            write_private(path, "".join(secrets.choice(alphabet) for _ in range(inputs["length"])))
        return inputs | {"value": path.read_text()}

    def read(self, state: Plain) -> Plain | None:
        path, value = self.home.secrets / str(state["name"]), str(state["value"])
        if not path.exists() or path.read_bytes() != value.encode():
            # The state still knows it: put it back rather than lock everyone out with another one.
            write_private(path, value)
        return dict(state)

    def delete(self, state: Plain) -> None:
        """Kept with the data."""
