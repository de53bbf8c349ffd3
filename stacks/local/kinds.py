"""Facts about the provider's resource types that other rooms need without importing the provider."""

from __future__ import annotations

PACKAGE = "modelyard"
MODULE = "modelyard:local"


def token(kind: str) -> str:
    """The Pulumi type token of a kind: ``Service`` -> ``modelyard:local:Service``."""
    return f"{MODULE}:{kind}"


#: Type tokens whose replacement or deletion can lose data. A secret lives and stays with the data it opens.
STATEFUL: frozenset[str] = frozenset(
    token(kind) for kind in ("PostgresCluster", "PostgresDatabase", "Bucket", "DataFolder")
)


def layer_token(layer: str) -> str:
    """The type token of a layer's component: ``storage`` -> ``modelyard:layer:Storage``."""
    return f"modelyard:layer:{layer.capitalize()}"
