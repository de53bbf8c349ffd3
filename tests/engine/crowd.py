"""A crowd of light resources of our provider, for tests that kill, lock and break an environment often.

Run as ``python -m tests.engine.crowd FOLDER``: one ``up`` that prints a line per event of the engine; with
further words, the command line (``… FOLDER preview --json``).
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from blueprints.spec import EnvironmentSpec
from stacks.engine import Engine, Event
from stacks.engine.workspace import checkpoint_file
from stacks.local.home import Home
from stacks.project import Project

_MAIN = """\
from pathlib import Path

from tests.engine.crowd import build

build(Path(__file__).parent)
"""
#: Services that are there in every round, and those of every other round.
ALWAYS, SOMETIMES = ("alpha", "beta", "gamma", "delta"), ("epsilon", "zeta")


def turn(project: Project, number: int) -> None:
    """Ask for round ``number``: every file's text and with it every service changes; in odd rounds the
    resources of every other round are there."""
    (project.root / "crowd.json").write_text(json.dumps({"round": number}))


def names(number: int) -> tuple[str, ...]:
    """The services of a round."""
    return ALWAYS + (SOMETIMES if number % 2 else ())


def texts(number: int) -> dict[str, str]:
    """The configuration files of a round: 4 a service."""
    return {f"{name}-{part}.conf": f"{name} {part} {number}\n" for name in names(number) for part in range(4)}


def build(root: Path) -> None:
    """The program: 37 resources, layers aside, in an even round; 55 in an odd one."""
    import pulumi

    from stacks.components.local import resources as local

    number = json.loads((root / "crowd.json").read_text())["round"]
    home = local.Home(str(Home(root / ".modelyard" / pulumi.get_stack()).root), False)
    layer = local.LayerComponent("network", home)
    supervisor = local.Supervisor("supervisor", {"name": "supervisor"}, layer)
    made = {
        name: local.File(name, {"name": name, "text": text}, layer) for name, text in texts(number).items()
    }
    for name in names(number):
        local.DataFolder(name, layer)
        local.Port(name, layer)
        for part in range(2):
            local.Secret(f"{name}-secret-{part}", layer)
        local.Service(
            name,
            {
                "name": name,
                "argv": ["/bin/sleep", "86400"],
                "triggers": [made[f"{name}-{part}.conf"].digest for part in range(4)],
            },
            layer,
            [supervisor],
        )


def crowd(folder: Path) -> Project:
    """A project whose environment is the crowd; nothing is up yet."""
    project = Project.create(folder, "crowd", "dev", EnvironmentSpec())
    (folder / "__main__.py").write_text(_MAIN)
    turn(project, 0)
    return project


@contextmanager
def living() -> Iterator[Project]:
    """The crowd, up in round 0; destroyed with its data at the end."""
    with tempfile.TemporaryDirectory(prefix="modelyard-crowd-") as folder:
        project = crowd(Path(folder) / "crowd")
        try:
            Engine(project, "dev").up()
            yield project
        finally:
            Engine(project, "dev").destroy(delete_data=True)


def cut_short(project: Project) -> Path:
    """Three operations cut short: of a service that runs, of a file that is gone (the one returned), of one
    never begun."""
    state = checkpoint_file(project, "dev")
    assert state is not None
    data = json.loads(state.read_text())
    latest = data["checkpoint"]["latest"]
    by_name = {each["urn"].rsplit("::", 1)[-1]: each for each in latest["resources"]}
    fresh = {**by_name["alpha-0.conf"], "urn": by_name["alpha-0.conf"]["urn"].replace("alpha-0", "omega")}
    fresh["inputs"] = {**fresh["inputs"], "name": "omega.conf"}
    del fresh["outputs"]
    latest["pending_operations"] = [
        {"resource": by_name["beta"], "type": "updating"},
        {"resource": by_name["alpha-1.conf"], "type": "updating"},
        {"resource": fresh, "type": "creating"},
    ]
    state.write_text(json.dumps(data))
    gone = Home(project.folder("dev")).config / "alpha-1.conf"
    gone.unlink()
    return gone


def main() -> int:
    """One ``up``, or the command line on the crowd."""
    folder, *words = sys.argv[1:]
    if words:
        from tui.cli.main import main as modelyard

        return modelyard(["-C", folder, *words])

    def tell(event: Event) -> None:
        sys.stdout.write(f"{type(event).__name__}\n")
        sys.stdout.flush()

    Engine(Project.find(Path(folder)), "dev", tell).up()
    return 0


if __name__ == "__main__":
    sys.exit(main())
