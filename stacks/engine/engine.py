"""Engine: preview, up, refresh and destroy of one environment."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from stacks.disk import disk_problem
from stacks.engine.events import Outcome, Phase, Plan
from stacks.engine.recorded import Recorded
from stacks.policy import pack_folder

if TYPE_CHECKING:
    from blueprints.spec import EnvironmentSpec
    from stacks.engine.drift import DriftReport
    from stacks.engine.fingerprint import Fingerprint
    from stacks.engine.watch import Watcher
    from stacks.engine.workspace import QuickStack

_PACKS = [str(pack_folder())]
_PHASES = {
    "preview": "looking at what is there and what would change",
    "up": "bringing the environment up",
    "refresh": "looking at what is really there",
    "destroy": "taking the environment down",
}


class Engine(Recorded):
    """The Pulumi engine on one environment of a project: what is recorded, and the operations.

    Args:
        project: The project.
        environment: Name of the environment.
        on_event: Hears every event; called from other threads, returns quickly.
    """

    def preview(self, *, over_budget: bool = False) -> Plan:
        """What ``up`` would do, and what a month would cost then.

        Args:
            over_budget: Answer also when that may be more than the spec's budget.

        Raises:
            Problem: The spec or the price book is wrong, a rule is broken, the engine fails, the passphrase
                is wrong, or it may cost more than the budget.
        """
        from stacks.costs import Costs

        costs = Costs.of(self.project, self.environment)
        plan, watcher = self._previewed()
        before, after = costs.estimates(watcher)
        if not over_budget:
            costs.require_within_budget(after)
        return replace(plan, cost=after, cost_before=before)

    def drift(self) -> DriftReport:
        """What is not as the last ``up`` recorded it, and the plan that heals it; see :meth:`heal`.

        Raises:
            Problem: Nothing is up, the spec is wrong, or the engine fails.
        """
        from stacks.engine.drift import DriftReport, classified
        from stacks.local.home import Home

        recorded = self.resources()
        if not recorded:
            raise self._nothing_is_up()
        plan, watcher = self._previewed(recorded=True)
        home = Home(self.project.folder(self.environment))
        ignore = self.project.spec(self.environment).drift.ignore
        drifts = classified(watcher.found, recorded, home, ignore)
        ignored = {each.urn for each in drifts if each.ignored}
        steps = tuple(step for step in plan.steps if step.urn not in ignored)
        return DriftReport(drifts, replace(plan, steps=steps))

    def heal(self, report: DriftReport) -> Outcome:
        """Bring what drifted, and is not ignored, back to what the last ``up`` built.

        Args:
            report: What a person agreed to.

        Raises:
            Problem: As for :meth:`up`.
        """
        ignored = [each.urn for each in report.drifts if each.ignored and each.urn] or None
        self._require_fresh(report.plan)
        return self._change(
            "up",
            lambda stack, on: stack.up(refresh=True, on_event=on, policy_packs=_PACKS, exclude=ignored),
            self._recorded_spec(),
        )

    def _recorded_spec(self) -> EnvironmentSpec | None:
        """What the last ``up`` followed; None when it did not say: then drift is judged by the spec as it
        is."""
        applied = self.applied()
        return applied.spec if applied else None

    def _previewed(self, *, recorded: bool = False) -> tuple[Plan, Watcher]:
        """The plan without its cost; ``recorded``: of the spec that the last ``up`` followed."""
        from stacks.engine.fingerprint import fingerprint, state_digest

        origin = fingerprint(self.project, self.environment, ())
        watcher, seconds = self._operate(
            "preview",
            lambda stack, on: stack.preview(refresh=True, on_event=on, policy_packs=_PACKS),
            self._recorded_spec() if recorded else None,
        )
        plan = Plan(
            self.project.name,
            self.environment,
            watcher.steps,
            seconds,
            watcher.outputs_change,
            watcher.urls,
            # A preview may mend the state first; configuration and program are those it started from.
            replace(origin, state=state_digest(self._recorded())),
            policy=watcher.policy.results(),
        )
        return plan, watcher

    def up(self, plan: Plan | None = None) -> Outcome:
        """Look at the truth, then bring the environment to its spec.

        Args:
            plan: What a person agreed to; refused when what it was made from has changed. Without one the
                engine judges the rules over the whole stack last, when the resources are made: whoever acts
                for a person previews first.

        Raises:
            Problem: The plan is out of date, a rule is broken, a resource fails, somebody else is at work
                (exit code 3), it was cancelled (130), or the environment is protected and what its CI runs
                is not pinned.
        """
        self.wait_for_turn()
        if self.project.spec(self.environment).protected:
            from stacks.ci.files import require_pins

            require_pins(self.project, self.environment)
        if plan is not None:
            self._require_fresh(plan)
        return self._change("up", lambda stack, on: stack.up(refresh=True, on_event=on, policy_packs=_PACKS))

    def _require_fresh(self, plan: Plan) -> None:
        differences = plan.fingerprint.differences(self._fingerprint()) if plan.fingerprint else ()
        if differences:
            from stacks.engine.saved_plan import stale

            raise stale(differences, self.environment)

    def wait_for_turn(self, seconds: float = 0.0) -> None:
        """Return when nobody else is at work on the environment, as far as this machine can tell.

        Args:
            seconds: How long to wait for them.

        Raises:
            Problem: They still are (exit code 3).
        """
        from stacks.engine import recovery

        if self.project.state_folder is not None:
            recovery.wait_for_turn(
                self.project.state_folder, self.project.name, self.environment, seconds, self._say
            )

    def _fingerprint(self) -> Fingerprint:
        from stacks.engine.fingerprint import fingerprint

        return fingerprint(self.project, self.environment, self._recorded())

    def refresh(self) -> Outcome:
        """Record what is really there; the steps tell what drifted.

        Raises:
            Problem: As for :meth:`up`.
        """
        return self._change("refresh", lambda stack, on: stack.refresh(on_event=on))

    def destroy(self, delete_data: bool = False) -> Outcome:
        """Take everything down. Data stays unless ``delete_data``.

        Raises:
            Problem: As for :meth:`up`.
        """
        if any(each.protected for each in self.resources()):
            self.unprotect()
        outcome = self._change("destroy", lambda stack, on: stack.destroy(on_event=on))
        self._sweep(delete_data)
        return outcome

    def unprotect(self, names: Sequence[str] = ()) -> None:
        """Let the engine replace or delete what a protected environment guards; the next ``up`` guards it
        again.

        Args:
            names: Of resources; none: all.

        Raises:
            Problem: The engine fails.
        """
        urns = [each.urn for each in self.resources() if each.name in names]
        if names and not urns:
            return
        self._cli(["state", "unprotect", "--yes", *(urns or ["--all"])])

    def _change(
        self,
        operation: str,
        act: Callable[[QuickStack, Watcher], object],
        spec: EnvironmentSpec | None = None,
    ) -> Outcome:
        watcher, seconds = self._operate(operation, act, spec)
        policy = watcher.policy.results() if operation == "up" else ()
        return Outcome(
            operation, watcher.steps, seconds, tuple(watcher.diagnostics), watcher.urls, policy=policy
        )

    def _operate(
        self,
        operation: str,
        act: Callable[[QuickStack, Watcher], object],
        spec: EnvironmentSpec | None = None,
    ) -> tuple[Watcher, float]:
        """Run one operation of the engine, for ``spec`` if not for the configured one, and tell of it."""
        from pulumi.automation.errors import CommandError, ConcurrentUpdateError

        from stacks.engine.history import History
        from stacks.engine.watch import Watcher
        from stacks.engine.workspace import open_stack
        from stacks.local.home import Home, sweep_parts
        from stacks.policy.catalog import rules_of
        from stacks.policy.exceptions import check_exceptions
        from stacks.policy.results import PolicyReport

        configured = self.project.spec(self.environment)
        exceptions, rules = configured.policy.exceptions, rules_of(configured.blueprint)
        check_exceptions(exceptions, rules)
        self.project.prepare()
        command = self._new_command()
        self._recover(operation)
        history = History(self.project.home / "history.json")
        watcher = Watcher(operation, self._say, history, PolicyReport(exceptions, rules))
        started = time.monotonic()
        self._say(Phase(_phase(operation), _PHASES[operation], history.expected_total(operation)))
        try:
            stack = open_stack(self.project, self.environment, command, self._found_engine(), spec)
            try:
                act(stack, watcher)
            except ConcurrentUpdateError:
                # An engine whose modelyard was killed may take its lock a moment after we looked. This
                # ends it, or says who else is at work; nothing has been done yet.
                self._recover(operation)
                act(stack, watcher)
        except CommandError as error:
            raise self._explained(error, watcher, interrupted=command.interrupted) from None
        except OSError as error:
            raise disk_problem(error, self.project.root) from None
        finally:
            self._command = None
        seconds = time.monotonic() - started
        if operation != "preview":
            # Last: the provider of a killed engine lives a moment longer, and is cut short while we begin.
            sweep_parts(Home(self.project.folder(self.environment)))
        history.save(operation, seconds)
        return watcher, seconds

    def _recover(self, operation: str) -> None:
        """Clear what a killed operation left. A preview only looks, and never waits for anybody."""
        from stacks.engine import recovery
        from stacks.engine.workspace import checkpoint_file

        state, checkpoint = self.project.state_folder, checkpoint_file(self.project, self.environment)
        if state is None or checkpoint is None:
            return
        if operation == "preview" and any(recovery.locks(state, self.project.name, self.environment)):
            return
        recovery.clear_locks(state, self.project.name, self.environment, self._say)
        recovery.mend_checkpoint(checkpoint, self._say)
        if operation != "preview":
            recovery.sweep_halves(checkpoint)

    def _sweep(self, delete_data: bool) -> None:
        """Whatever the resources themselves did not take away: stray processes, folders, on request data."""
        from stacks.local import processes

        folder = self.project.folder(self.environment)
        processes.end(processes.marked(str(folder), whole_environment=True))
        gone = ["run", "config", "logs", "aside", *(["data"] if delete_data else [])]
        try:
            for name in gone:
                _remove(folder / name)
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        except OSError as error:
            raise disk_problem(error, folder) from None


def _phase(operation: str) -> str:
    return "update" if operation == "up" else operation


def _remove(folder: Path) -> None:
    if folder.is_dir():
        shutil.rmtree(folder)
