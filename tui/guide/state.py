"""What has been answered so far, and the command that says the same."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field, replace

from blueprints.errors import Problem
from blueprints.keys import assign, find, keys, problem_with
from blueprints.recommend import Needs, recommend
from blueprints.spec import EnvironmentSpec


@dataclass(frozen=True)
class Answers:
    """Every answer of the guide; frozen, so that going back never half-changes it.

    Attributes:
        needs: What the team said of itself.
        blueprint: The chosen blueprint.
        project, environment: Names.
        settings: Text by dotted key, only what was changed from the default.
    """

    project: str
    environment: str = "dev"
    needs: Needs = field(default_factory=Needs)
    blueprint: str = "local"
    settings: dict[str, str] = field(default_factory=dict)

    def set(self, path: str, text: str) -> Answers:
        """With another answer; the default's text takes the key out."""
        kept = {key: value for key, value in self.settings.items() if key != path}
        if text != default_text(path, self.blueprint):
            kept[path] = text
        return replace(self, settings=kept)

    def recommended(self) -> Answers:
        """With the settings the recommender adds."""
        answers = self
        for setting in recommend(self.needs).settings:
            path, _, value = setting.partition("=")
            answers = answers.set(path, value)
        return answers

    def spec(self) -> EnvironmentSpec:
        """The spec these answers make.

        Raises:
            UsageProblem: They do not fit together.
        """
        return assign(EnvironmentSpec(blueprint=self.blueprint), self.assignments())

    def assignments(self) -> list[str]:
        """``key=value`` of every changed key, in the order of the spec."""
        try:
            known = keys(blueprint=self.blueprint)
        except Problem:
            # Another package's keys that cannot be read: refused when it is chosen, not when it is looked at.
            known = keys()
        return [f"{key.path}={self.settings[key.path]}" for key in known if key.path in self.settings]

    def command(self) -> str:
        """The command that does the same without the guide."""
        words = ["modelyard", "init", "--blueprint", self.blueprint]
        words += ["--project", self.project] if self.project else []
        words += ["--env", self.environment] if self.environment != "dev" else []
        for assignment in self.assignments():
            words += ["--set", assignment]
        return shlex.join([*words, "--yes"])

    def fault(self, path: str, text: str) -> str:
        """Why ``text`` cannot be the answer to ``path``; empty when it can."""
        if path == "project":
            good = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", text)
            return "" if good else "use 1 to 100 letters, digits, hyphens, dots, underscores"
        if path == "environment":
            if text in ("state", "bin"):
                return f"{text} is a folder of Modelyard's own"
            good = re.fullmatch(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?", text)
            return "" if good else "use 1 to 40 lower-case letters, digits, hyphens, first a letter"
        others = replace(self, settings={k: v for k, v in self.settings.items() if k != path})
        try:
            base = others.spec()
        except Problem:
            base = EnvironmentSpec(blueprint=self.blueprint)
        return problem_with(path, text, base)


def default_text(path: str, blueprint: str = "") -> str:
    """The default of a key, of the blueprint's own too, as a person types it."""
    value = find(path, blueprint if path.startswith("extension.") else "").default
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ",".join(str(each) for each in value)
    return str(value)
