"""access: generated credentials and tokens, and the supervisor that everything runs under."""

from __future__ import annotations

import pulumi

from stacks.components.local.resources import Home, LayerComponent, Secret, Supervisor


class Access(LayerComponent):
    """Every generated secret of the environment, by purpose.

    Attributes:
        supervisor: The supervisord that services of all layers depend on.
    """

    def __init__(self, home: Home) -> None:
        super().__init__("access", home)
        self.supervisor = Supervisor("supervisor", {"name": "supervisor"}, self)
        self._secrets: dict[str, Secret] = {}

    def secret(self, name: str) -> pulumi.Output[str]:
        """The secret called ``name``, made when first asked for."""
        if name not in self._secrets:
            self._secrets[name] = Secret(name, self)
        return pulumi.Output.secret(self._secrets[name].value)
