"""What a supervised service is: a JSON file that only its owner reads, with everything to start it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from stacks.local.home import write_private


@dataclass(frozen=True)
class Definition:
    """One service.

    Attributes:
        name: Name of the service in its environment.
        marker: What its processes carry in ``MODELYARD_SERVICE``.
        argv: Command; never holds a secret, anyone on the machine can read it.
        env: Environment variables added to the supervisor's; secrets belong here.
        cwd: Working directory, absolute.
        user: Run as this user instead of root (ignored unless root), empty: as whoever runs the supervisor.
    """

    name: str
    marker: str
    argv: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)
    cwd: str = ""
    user: str = ""

    def to_json(self) -> str:
        """The text of the definition file."""
        return json.dumps(asdict(self), indent=2, sort_keys=True)

    @property
    def digest(self) -> str:
        """Says whether two definitions are the same, without showing what is in them."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    def write(self, path: Path) -> None:
        """Write the definition for its owner only."""
        write_private(path, self.to_json())

    @classmethod
    def load(cls, path: Path) -> Definition:
        """Read a definition.

        Raises:
            OSError: The file is missing or not readable.
            ValueError: It is not a definition.
        """
        data = json.loads(path.read_text())
        try:
            return cls(**{**data, "argv": tuple(data["argv"])})
        except (TypeError, KeyError) as error:
            raise ValueError(f"{path} is not a service definition: {error}") from None
