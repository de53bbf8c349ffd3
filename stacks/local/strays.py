"""What lies in the environment's folder that no resource owns: somebody put it there by hand, or a killed
``up`` made it and never recorded it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from stacks.local.home import Home, private_folder
from stacks.local.supervisor import Supervisor


@dataclass(frozen=True)
class Stray:
    """A service or a configuration file that no resource owns.

    Attributes:
        kind: ``service`` or ``file``.
        name: Of the service, or of the file.
        how: How it was found, one sentence.
    """

    kind: str
    name: str
    how: str


def strays(home: Home, services: Collection[str], files: Collection[str]) -> Iterator[Stray]:
    """What is there beside the services and configuration files that are recorded."""
    folder = home.run / "services"
    known = Supervisor(home).states()
    defined = {path.stem for path in folder.glob("*.*") if path.suffix in (".json", ".conf")}
    for name in sorted((defined | set(known)) - set(services)):
        where = f"defined in {folder}" if name in defined else "without a definition"
        state = known[name].state.lower() if name in known else "unknown to the supervisor"
        yield Stray("service", name, f"{where}, {state}, and no resource owns it")
    for path in sorted(home.config.glob("*")):
        if path.is_file() and path.suffix != ".part" and path.name not in files:
            yield Stray("file", path.name, f"lies in {home.config}, and no resource owns it")


def put_aside(home: Home, stray: Stray) -> Path:
    """Stop a service that no resource owns, move its definition or the file out of use, and keep it: returns
    the folder. ``destroy`` removes that with the rest."""
    aside = private_folder(home.aside / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{stray.name}")
    control = Supervisor(home)
    if stray.kind == "service":
        paths = [control.definition_path(stray.name), control.conf_path(stray.name)]
    else:
        paths = [home.config / stray.name]
    for path in paths:
        if path.exists():
            path.rename(aside / path.name)
    if stray.kind == "service":
        control.remove(stray.name)
    return aside
