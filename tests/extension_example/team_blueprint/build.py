"""How the blueprint is built, from resources of Modelyard's local provider."""

from pathlib import Path
from typing import Any

import pulumi

from blueprints.environment import Environment
from blueprints.spec import EnvironmentSpec
from stacks.components.local.access import Access
from stacks.components.local.resources import DataFolder, Home, LayerComponent

from .settings import Settings


def build(spec: EnvironmentSpec, project: str, name: str, root: Path) -> pulumi.Output[dict[str, Any]]:
    """The folders and the password; returns the Environment contract as plain data (secret)."""
    settings = Settings.model_validate(spec.extension.model_dump())
    home = Home(str(root / ".modelyard" / name), spec.protected)
    access = Access(home)
    storage = LayerComponent("storage", home)
    folders = {each: DataFolder(f"team-{each}", storage) for each in ("artifacts", "data", "backups")}
    document: dict[str, Any] = {
        "project": project,
        "name": name,
        "blueprint": spec.blueprint,
        "protected": spec.protected,
        "root": str(root),
        "tracking": {
            "url": settings.tracking_url,
            "username": settings.account,
            "password": access.secret("tracking-password"),
        },
        "storage": {
            "kind": "folder",
            "buckets": {
                each: pulumi.Output.concat("file://", folder.path) for each, folder in folders.items()
            },
        },
        "databases": {},
        "services": [],
    }
    known: pulumi.Output[dict[str, Any]] = pulumi.Output.from_input(document)
    return pulumi.Output.secret(known.apply(_checked))


def _checked(known: dict[str, Any]) -> dict[str, Any]:
    return dict(Environment.model_validate(known).revealed())
