"""The requirements file: what it pins, what it says where no hash is known, whose file it is."""

from __future__ import annotations

import re
import subprocess
import sys
from email.message import Message
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest

from blueprints.spec import EnvironmentSpec
from stacks.ci import requirements
from stacks.ci.requirements import OwnPin, own_pin
from stacks.project import Project

TOP = Path(__file__).parents[2]
PIN = re.compile(r"(?m)^([A-Za-z0-9._-]+)==(\S+)")


def pins(text: str) -> list[tuple[str, str]]:
    """Name and version; a package may stand there twice, for two versions of Python."""
    return [(name.lower(), version) for name, version in PIN.findall(text)]


class Installed(Distribution):
    """An installation whose installer recorded ``direct_url``."""

    def __init__(self, direct_url: str | None) -> None:
        self._direct_url = direct_url

    def read_text(self, filename: str) -> str | None:
        return self._direct_url if filename == "direct_url.json" else None

    def locate_file(self, path: object) -> Path:
        raise NotImplementedError

    @property
    def metadata(self) -> Message:  # type: ignore[override]
        message = Message()
        message["Version"] = "1.2"
        return message


@pytest.mark.parametrize(
    ("recorded", "sha256", "editable"),
    [
        (
            '{"archive_info": {"hashes": {"sha256": "' + "ab" * 32 + '"}}, "url": "file:///m.whl"}',
            "ab" * 32,
            False,
        ),
        ('{"archive_info": {"hash": "sha256=' + "cd" * 32 + '"}, "url": "file:///m.whl"}', "cd" * 32, False),
        ('{"dir_info": {"editable": true}, "url": "file:///src"}', None, True),
        ('{"archive_info": {}, "url": "file:///m.whl"}', None, False),
        (None, None, False),
    ],
)
def test_a_hash_is_taken_from_the_record_or_not_at_all(
    recorded: str, sha256: str | None, editable: bool
) -> None:
    own = own_pin(Installed(recorded))
    assert (own.version, own.sha256, own.editable) == ("1.2", sha256, editable)
    assert bool(own.reason) is (sha256 is None)


def test_the_shipped_lock_is_the_lock_without_extras() -> None:
    ours, whole = pins(requirements.LOCK.read_text()), pins((TOP / "requirements.lock").read_text())
    assert set(ours) < set(whole)
    assert "pytest" not in dict(ours)
    needed = {
        re.split(r"[\s<>=!~;\[(]", each, maxsplit=1)[0].lower()
        for each in distribution("modelyard").requires or ()
        if "extra ==" not in each
    }
    assert needed <= set(dict(ours))


def test_no_registry_is_named_and_every_pin_has_a_hash() -> None:
    text = requirements.text(own=OwnPin("1.2", "ab" * 32))
    assert "://" not in text
    assert "--index" not in text
    blocks = re.split(r"(?m)^(?=[A-Za-z0-9])", text)[1:]
    assert len(blocks) == len(pins(text)) > 50
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", block) for block in blocks)


def test_pip_takes_a_pinned_file_and_refuses_an_unpinned_one(tmp_path: Path) -> None:
    """Real pip, no network: a file with every hash gets as far as looking for the first archive."""

    def pip(own: OwnPin) -> str:
        path = tmp_path / "requirements.txt"
        path.write_text(requirements.text(own=own))
        options = [
            "--no-index",
            "--no-deps",
            "--dry-run",
            "--ignore-installed",
            "--disable-pip-version-check",
        ]
        command = [sys.executable, "-m", "pip", "install", *options, "--find-links", str(tmp_path)]
        done = subprocess.run([*command, "-r", str(path)], capture_output=True, text=True, check=False)
        assert done.returncode
        return done.stderr

    assert "No matching distribution found" in pip(OwnPin("0.1.0", "ab" * 32))
    (tmp_path / "modelyard-0.1.0-py3-none-any.whl").write_bytes(b"not the archive")
    assert "DO NOT MATCH THE HASHES" in pip(OwnPin("0.1.0", "ab" * 32))
    assert "Hashes are required" in pip(OwnPin("0.1.0", None, "nobody knows"))


def test_a_file_of_the_team_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("scikit-learn\n")
    project = Project.create(tmp_path, "yard", "dev", EnvironmentSpec())
    assert (tmp_path / "requirements.txt").read_text() == "scikit-learn\n"
    text = (tmp_path / "requirements-modelyard.txt").read_text()
    assert text.startswith(f"{requirements.FIRST_LINE} requirements-modelyard.txt\n")
    assert requirements.name_in(project.root) == "requirements-modelyard.txt"
