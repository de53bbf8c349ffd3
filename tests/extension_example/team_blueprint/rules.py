"""A rule of the team's own, held to beside those of Modelyard."""

from collections.abc import Iterator
from typing import ClassVar

from stacks.policy.rule import Example, Resource, Rule, Setting, example


class FoldersNamed(Rule):
    """Folders on the share carry the team's name."""

    id: ClassVar[str] = "example-folder-named"
    what: ClassVar[str] = "A folder on the team's share begins with team-."
    why: ClassVar[str] = "The share is swept once a month: what has no owner in its name goes."
    fix: ClassVar[str] = "Rename it to team-NAME."
    types: ClassVar[frozenset[str]] = frozenset({"modelyard:local:DataFolder"})
    fails: ClassVar[Example] = example("modelyard:local:DataFolder", name="scratch")
    passes: ClassVar[Example] = example("modelyard:local:DataFolder", name="team-scratch")

    def check(self, resource: Resource, setting: Setting) -> Iterator[str]:
        """The name, when it is known and another."""
        name = resource.get("name")
        if isinstance(name, str) and not name.startswith("team-"):
            yield f"the folder is called {name}"


RULES: tuple[Rule, ...] = (FoldersNamed(),)
