"""What the engine answers besides its events: the state of one resource."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from blueprints.layers import Layer

if TYPE_CHECKING:
    from blueprints.spec import EnvironmentSpec


@dataclass(frozen=True)
class ResourceState:
    """One resource as the last operation recorded it; secrets in its properties read ``[secret]``.

    Attributes:
        urn: Pulumi's unique name.
        type: Short type: ``service``, ``bucket``; ``component`` for a layer.
        name: Short name for people.
        layer: The layer it belongs to; None for the stack itself and providers.
        parent: URN of the parent, empty for the stack.
        id: The provider's id, empty for components.
        inputs: ``(property, value as text)``, sorted.
        outputs: Likewise.
        created: When it was made, UTC; None when not recorded.
        modified: When it last changed.
        stateful: Whether replacing or deleting it can lose data.
        protected: Whether the engine refuses to replace or delete it.
    """

    urn: str
    type: str
    name: str
    layer: Layer | None
    parent: str
    id: str
    inputs: tuple[tuple[str, str], ...]
    outputs: tuple[tuple[str, str], ...]
    created: datetime | None
    modified: datetime | None
    stateful: bool
    protected: bool = False


@dataclass(frozen=True)
class Applied:
    """What the last ``up`` built: the spec it followed, and the version of Modelyard that did."""

    spec: EnvironmentSpec
    version: str
