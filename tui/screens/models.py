"""Models: versions and aliases, and where each came from: run and data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rich.text import Text

from tui.commands_registry import LISTS, Command, bindings
from tui.screens.acting import ActingPage
from tui.screens.page import facts
from tui.widgets.virtual_table import Column
from tui.widgets.words import UNKNOWN, ago, moment, number

if TYPE_CHECKING:
    from mlops.tracking.entities import ModelVersion, Run
    from tui.session import Session


_DEPLOY = Command("models.deploy", "d", "deploy", "deploy", "Roll the selected version out: how, and when")


class ModelsPage(ActingPage):
    """Every version of every registered model."""

    title = "Models"
    COMMANDS = (_DEPLOY, *LISTS)
    BINDINGS = bindings((_DEPLOY,))
    every = 5.0
    empty = (
        "No model is registered. Register one from a run, in your training script:\n\n"
        "  mlflow.sklearn.log_model(model, name=…, registered_model_name=…)\n\n"
        "or have a real one trained and registered:\n\n"
        "  modelyard demo"
    )

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._runs: dict[str, Run] = {}
        self._run_fault = ""

    def columns(self) -> Sequence[Column[Any]]:
        return (
            Column("name", "model", 22, lambda v: v.name, flexible=True, most=48, middle=True),
            Column(
                "version", "version", 7, lambda v: f"v{v.version}", lambda v: int(v.version), align="right"
            ),
            Column("aliases", "aliases", 20, lambda v: ", ".join(v.aliases) or UNKNOWN),
            Column("created", "created", 10, lambda v: ago(v.created), lambda v: v.created, align="right"),
            Column("run", "run", 12, lambda v: v.run_id[:8] or UNKNOWN),
            Column("status", "status", 8, lambda v: v.status.lower()),
        )

    def key(self, row: ModelVersion) -> str:
        return f"{row.name}/{row.version}"

    def crumb(self, row: ModelVersion) -> str:
        return f"{row.name} v{row.version}"

    def fetch(self) -> tuple[ModelVersion, ...]:
        tracking = self.session.tracking()
        found: list[ModelVersion] = []
        for model in tracking.models():
            # The server's search leaves a version's aliases out; the model has them.
            for version in tracking.versions(model.name):
                names = {alias for alias, number in model.aliases.items() if number == version.version}
                found.append(replace(version, aliases=tuple(sorted({*version.aliases, *names}))))
        return tuple(found)

    def action_deploy(self) -> None:
        """Choose how the selected version takes over."""
        version = self.table.selected
        if version is not None:
            self.choose_deploy(version.name, version.version)

    def selected_changed(self) -> None:
        version = self.table.selected
        if self.detail_open and version is not None and version.run_id and version.run_id not in self._runs:
            self.in_thread(
                lambda: self.session.tracking().run(version.run_id),
                lambda run, fault: self._found(version.run_id, run, fault),
                "run",
            )

    def _found(self, run_id: str, run: Run | None, fault: str) -> None:
        self._run_fault = fault
        if run is not None:
            self._runs[run_id] = run
        self.redraw()

    def detail(self, row: ModelVersion, width: int) -> Text:
        tint = self.colours
        text = Text.assemble((f"{row.name} v{row.version}\n", "bold"))
        text.append_text(
            facts(
                [
                    ("aliases", ", ".join(row.aliases) or UNKNOWN),
                    ("created", f"{moment(row.created)} · {ago(row.created)}"),
                    ("status", row.status.lower()),
                    ("source", row.source),
                    ("about", row.description or UNKNOWN),
                ],
                tint,
                width,
            )
        )
        text.append("\nLineage\n", "bold")
        run = self._runs.get(row.run_id)
        text.append(f"{row.name} v{row.version}\n")
        text.append(f"└─ run {f'{run.name} {run.id[:8]}' if run else row.run_id or UNKNOWN}\n")
        if run is None:
            text.append(f"   {self._run_fault or 'reading'}\n", tint.dim)
            return text
        for each in run.inputs:
            text.append(f"   └─ data {each.name} {each.digest} ({each.context or 'read'})\n")
        if not run.inputs:
            text.append("   └─ data – (the run logged no dataset: mlflow.log_input)\n", tint.dim)
        text.append("\nMetrics of its run\n", "bold")
        metrics = [(name, number(value)) for name, value in sorted(run.metrics.items())]
        text.append_text(facts(metrics, tint, width))
        return text
