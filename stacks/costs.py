"""What a project's environments cost: its price book, and the estimates of a preview."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from blueprints import pricebook
from blueprints.catalog import find
from blueprints.charges import RULES
from blueprints.cost import Estimate, Resource, estimate
from blueprints.errors import UsageProblem
from blueprints.spec import EnvironmentSpec
from stacks.disk import disk_problem
from stacks.project import Project

if TYPE_CHECKING:
    from stacks.engine.watch import Watcher

#: A project's own prices: laid over the packaged book.
FILE = "prices.yaml"


def own_file(project: Project) -> Path:
    """Where the project keeps its own prices; the file need not be there."""
    return project.root / FILE


def own_book(project: Project) -> pricebook.PriceBook | None:
    """The project's own prices; None when it has none.

    Raises:
        Problem: The file cannot be read, is damaged, or was written for a newer Modelyard.
    """
    path = own_file(project)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        text = "\x00"
    except OSError as error:
        raise disk_problem(error, path) from None
    return pricebook.parse(text, FILE)


def book_of(project: Project, blueprint: str = "local") -> pricebook.PriceBook:
    """The packaged price book, with the blueprint's own prices and then the project's laid over it.

    Raises:
        Problem: As for :func:`own_book`, or an entry of it contradicts the packaged book.
    """
    own = own_book(project)
    book = pricebook.packaged()
    brings = find(blueprint)
    if brings.prices:
        book = book.overlaid(pricebook.parse(brings.text("prices"), brings.prices), brings.prices)
    return book.overlaid(own, FILE) if own else book


def spec_in(file: Path, like: Project) -> tuple[str, EnvironmentSpec]:
    """The environment's name and the spec of ``file``, a ``Pulumi.NAME.yaml`` from anywhere.

    Raises:
        Problem: There is no such file, or its spec is wrong.
    """
    name = file.name.removeprefix("Pulumi.").removesuffix(".yaml")
    if file.name != f"Pulumi.{name}.yaml" or not file.is_file():
        raise UsageProblem(
            f"{str(file)!r} is neither an environment nor a file with a spec",
            where="modelyard cost diff",
            expected=" or ".join([*like.environments(), "a file Pulumi.NAME.yaml"]),
        )
    return name, Project(file.resolve().parent, like.name).spec(name)


@contextmanager
def project_of(file: Path, like: Project) -> Iterator[tuple[Project, str]]:
    """A project of its own, for a moment, with the spec in ``file`` and the prices of ``like``; and its
    environment's name. For estimates: nothing is up there.

    Raises:
        Problem: As for :func:`spec_in`.
    """
    name, spec = spec_in(file, like)
    with tempfile.TemporaryDirectory(prefix="modelyard-cost-") as folder:
        project = Project.create(Path(folder) / like.name, like.name, name, spec)
        if own_file(like).is_file():
            shutil.copyfile(own_file(like), own_file(project))
        yield project, name


@dataclass(frozen=True)
class Costs:
    """How an environment is priced: its spec and the book."""

    spec: EnvironmentSpec
    book: pricebook.PriceBook
    where: str

    @classmethod
    def of(cls, project: Project, environment: str) -> Costs:
        """Those of an environment.

        Raises:
            Problem: As for :func:`book_of`, or the spec is wrong.
        """
        where = project.stack_file(environment).name
        spec = project.spec(environment)
        return cls(spec, book_of(project, spec.blueprint), where)

    def estimates(self, watcher: Watcher) -> tuple[Estimate, Estimate]:
        """What is recorded costs, and what would be there after the operation that ``watcher`` saw."""
        return self._estimate(watcher.before), self._estimate(watcher.after)

    def _estimate(self, resources: Iterable[Resource]) -> Estimate:
        cost = self.spec.cost
        rules = RULES | dict(find(self.spec.blueprint).attribute("charges", {}))
        return estimate(resources, self.book, cost.region, cost.usage, rules)

    def require_known_region(self, after: Estimate) -> None:
        """Raise a Problem when something is to be paid for and the book knows nothing of the region."""
        if after.unpriced and not after.items:
            self.book.require_region(after.region)

    def require_within_budget(self, after: Estimate) -> None:
        """Raise a Problem when ``after`` may cost more than the spec's budget, or nobody can tell."""
        if self.spec.cost.budget_per_month is not None:
            self.require_known_region(after)
            after.require_within(self.spec.cost.budget_per_month, self.where)
