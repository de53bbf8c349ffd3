"""Supervisor: the supervisord of the environment."""

from __future__ import annotations

import shutil

from stacks.local.supervisor import Supervisor as Control
from stacks.provider.kind import REQUIRED, Input, Kind
from stacks.provider.values import Plain


class Supervisor(Kind):
    """The process that starts, restarts and logs every service."""

    name = "Supervisor"
    inputs = {"name": Input(str, "Its name.", REQUIRED, replaces=True)}
    outputs = {"running": Input(bool, "Whether it answers.")}
    well = {"running": True}

    def id_of(self, inputs: Plain) -> str:
        return str(inputs["name"])

    def create(self, inputs: Plain) -> Plain:
        Control(self.home).start()
        return inputs | {"running": True}

    def read(self, state: Plain) -> Plain | None:
        return state | {"running": Control(self.home).alive()}

    def delete(self, state: Plain) -> None:
        Control(self.home).shut_down()
        for folder in (self.home.run, self.home.config, self.home.logs):
            shutil.rmtree(folder, ignore_errors=True)
