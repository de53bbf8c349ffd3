"""What the blueprint's resources are billed for: a share of the team's file server."""

from collections.abc import Iterable

from blueprints.billing import Charge, Resource, Scene
from blueprints.charges import Rule


def _folder(resource: Resource, scene: Scene) -> Iterable[Charge]:
    """One share of the file server, however many folders lie on it."""
    yield Charge("share of the file server", "team.share", 1, 1, shared="team.share")


CHARGES: dict[str, Rule] = {"modelyard:local:DataFolder": _folder}
