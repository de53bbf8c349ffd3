"""network: loopback ports, chosen once and kept."""

from __future__ import annotations

import pulumi

from stacks.components.local.resources import Home, LayerComponent, Port


class Network(LayerComponent):
    """The ports of every layer."""

    def __init__(self, home: Home) -> None:
        super().__init__("network", home)

    def port(self, name: str, number: int | None = None) -> pulumi.Output[int]:
        """A port for ``name``: ``number`` when the spec gives one, else a free one."""
        return Port(name, self, number).number

    def ports(self, name: str, count: int) -> pulumi.Output[list[int]]:
        """``count`` free ports for the inner workings of ``name``."""
        return Port(name, self, count=count).numbers
