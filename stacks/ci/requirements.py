"""The requirements file of a project's CI: Modelyard by exact version, all that it needs by hash.

It is made from the lock that ships inside the package, so no network is needed. Only one hash cannot ship
that way: Modelyard's own. It is taken from what the installer recorded, or is left out and the file says why;
pip then refuses the file (``--require-hashes``), so an unpinned Modelyard never runs in CI.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution
from pathlib import Path

LOCK = Path(__file__).with_name("requirements.lock")
#: How a file of ours is known; a team's own requirements.txt is never touched.
FIRST_LINE = "# What CI installs for this Modelyard project: pip install --require-hashes -r"
NAME, OTHER_NAME = "requirements.txt", "requirements-modelyard.txt"
_OWN = re.compile(
    r"(?m)^(?:# No hash is known[^\n]*\n#[^\n]*\n)?"
    r"modelyard==(?P<version>\S+)(?P<hash> \\\n +--hash=sha256:[0-9a-f]{64})?$"
)


@dataclass(frozen=True)
class OwnPin:
    """What is known of the archive Modelyard was installed from.

    Attributes:
        version: Its version.
        sha256: Hash of the archive, hexadecimal; None when nothing recorded it.
        reason: Why there is no hash, or empty.
        editable: Installed from a checkout: no archive exists that could have a hash.
    """

    version: str
    sha256: str | None
    reason: str = ""
    editable: bool = False


def own_pin(installed: Distribution | None = None) -> OwnPin:
    """The pin of the running installation, from what its installer recorded (PEP 610)."""
    installed = installed or distribution("modelyard")
    recorded = json.loads(installed.read_text("direct_url.json") or "{}")
    archive = recorded.get("archive_info") or {}
    found = (archive.get("hashes") or {}).get("sha256") or str(archive.get("hash", "")).removeprefix(
        "sha256="
    )
    if re.fullmatch(r"[0-9a-f]{64}", found or ""):
        return OwnPin(installed.version, found)
    if "dir_info" in recorded:
        return OwnPin(installed.version, None, "it was installed from a folder, not from an archive", True)
    return OwnPin(installed.version, None, "its installer did not record the hash of the archive")


def text(name: str = NAME, own: OwnPin | None = None) -> str:
    """The whole file. Deterministic: the same installation writes the same bytes."""
    return f"{FIRST_LINE} {name}\n{_own_lines(own or own_pin())}\n{LOCK.read_text()}"


def name_in(root: Path) -> str:
    """The file's name in the folder ``root``: another one where a team has a requirements.txt of its own."""
    path = root / NAME
    return OTHER_NAME if path.is_file() and not path.read_text().startswith(FIRST_LINE) else NAME


def version_in(old: str) -> str | None:
    """The version of Modelyard that the file names."""
    match = _OWN.search(old)
    return match["version"] if match else None


def unpinned(path: Path) -> str | None:
    """``modelyard==VERSION`` when the file does not pin it by hash; None when it does or is not there."""
    match = _OWN.search(path.read_text()) if path.is_file() else None
    return f"modelyard=={match['version']}" if match and not match["hash"] else None


def with_own(old: str, own: OwnPin) -> str:
    """``old`` with Modelyard's own lines replaced."""
    return _OWN.sub(lambda _: _own_lines(own), old, count=1)


def _own_lines(own: OwnPin) -> str:
    if own.sha256:
        return f"modelyard=={own.version} \\\n    --hash=sha256:{own.sha256}"
    return (
        f"# No hash is known for modelyard {own.version}: {own.reason}.\n"
        f"# pip refuses this file until there is one: modelyard pin --wheel FILE\n"
        f"modelyard=={own.version}"
    )
