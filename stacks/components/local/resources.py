"""The provider's resources as a program sees them: typed outputs, one class a kind."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import pulumi

from blueprints.layers import Layer
from stacks.local.kinds import PACKAGE, STATEFUL, layer_token, token

#: What each of our own services is told. The release is in it so that `up` after an upgrade restarts them.
OWN = {"PYTHONUNBUFFERED": "1", "MODELYARD_RELEASE": version("modelyard")}


class Home(pulumi.ProviderResource):
    """The provider, bound to the folder of one environment.

    Attributes:
        protected: Whether the engine refuses to replace or delete what holds data.
    """

    def __init__(self, folder: str, protected: bool = False) -> None:
        super().__init__(PACKAGE, "local", {"home": folder})
        self.protected = protected


class LayerComponent(pulumi.ComponentResource):
    """A layer of the environment; its resources are its children."""

    def __init__(self, layer: str, home: Home) -> None:
        super().__init__(layer_token(layer), layer, None, pulumi.ResourceOptions(providers=[home]))
        self.home = home


class _Local(pulumi.CustomResource):
    """Base: registers a kind with the given inputs and asks for the named outputs."""

    kind: str
    outputs: tuple[str, ...] = ()

    def __init__(
        self,
        name: str,
        inputs: Mapping[str, Any],
        parent: LayerComponent,
        after: list[pulumi.Resource] | None = None,
    ) -> None:
        properties = {**inputs, **dict.fromkeys(self.outputs)}
        options = pulumi.ResourceOptions(parent=parent, depends_on=after or [])
        if token(self.kind) in STATEFUL:
            options = pulumi.ResourceOptions.merge(options, _guarded(parent.home))
        super().__init__(token(self.kind), name, properties, options)


def _guarded(home: Home) -> pulumi.ResourceOptions:
    """What keeps data: the engine forgets such a resource rather than delete it, refuses to touch it in a
    protected environment, and knows it again when a later release moves it to another layer."""
    stack = f"urn:pulumi:{pulumi.get_stack()}::{pulumi.get_project()}"
    return pulumi.ResourceOptions(
        protect=home.protected,
        retain_on_delete=True,
        aliases=[pulumi.Alias(parent=f"{stack}::{layer_token(layer)}::{layer}") for layer in Layer],
    )


class Secret(_Local):
    """A generated secret; ``value`` is encrypted in the state."""

    kind, outputs = "Secret", ("value",)
    value: pulumi.Output[str]

    def __init__(self, name: str, parent: LayerComponent) -> None:
        super().__init__(name, {"name": name, "length": 32}, parent)


class Port(_Local):
    """Loopback ports; ``numbers`` are known once created."""

    kind, outputs = "Port", ("numbers",)
    numbers: pulumi.Output[list[int]]

    def __init__(
        self, name: str, parent: LayerComponent, number: int | None = None, count: int | None = None
    ) -> None:
        super().__init__(f"{name}-port", {"name": name, "number": number, "count": count}, parent)

    @property
    def number(self) -> pulumi.Output[int]:
        """The first of them."""
        return self.numbers.apply(lambda numbers: int(numbers[0]))


class File(_Local):
    """A configuration file."""

    kind, outputs = "File", ("path", "digest")
    path: pulumi.Output[str]
    digest: pulumi.Output[str]


class DataFolder(_Local):
    """A folder of data that destroy keeps."""

    kind, outputs = "DataFolder", ("path",)
    path: pulumi.Output[str]

    def __init__(self, name: str, parent: LayerComponent) -> None:
        super().__init__(f"{name}-data", {"name": name}, parent)


class Supervisor(_Local):
    """The supervisord of the environment."""

    kind, outputs = "Supervisor", ("running",)
    running: pulumi.Output[bool]


class PostgresCluster(_Local):
    """The files of a PostgreSQL cluster."""

    kind, outputs = "PostgresCluster", ("path", "server", "user", "digest")
    path: pulumi.Output[str]
    server: pulumi.Output[str]
    user: pulumi.Output[str]
    digest: pulumi.Output[str]


class PostgresDatabase(_Local):
    """A database and the role that owns it."""

    kind, outputs = "PostgresDatabase", ("url",)
    url: pulumi.Output[str]


class Bucket(_Local):
    """A bucket."""

    kind, outputs = "Bucket", ("uri",)
    uri: pulumi.Output[str]


class Service(_Local):
    """A supervised process."""

    kind, outputs = "Service", ("running", "log")
    running: pulumi.Output[bool]
    log: pulumi.Output[str]
