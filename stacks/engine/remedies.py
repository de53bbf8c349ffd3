"""The steps out of what :mod:`stacks.engine.diagnosis` found; each looks again before it acts."""

from __future__ import annotations

from typing import Any

from stacks.engine import recovery
from stacks.engine.diagnosis import Diagnosis, Remedy
from stacks.engine.engine import Engine
from stacks.engine.workspace import checkpoint_file
from stacks.local.home import Home
from stacks.local.strays import put_aside


def carry_out(engine: Engine, found: Diagnosis) -> dict[str, Any]:
    """Take the next step, unless it is ``up``, which is the engine's own. Returns what it kept and where.

    Raises:
        Problem: Somebody has begun to work meanwhile (exit code 3).
    """
    project, environment = engine.project, engine.environment
    state, checkpoint = project.state_folder, checkpoint_file(project, environment)
    assert state is not None
    assert checkpoint is not None
    engine.wait_for_turn()
    if found.remedy is Remedy.UNLOCK:
        recovery.clear_locks(state, project.name, environment, lambda _: None)
        return {}
    if found.remedy is Remedy.TIDY:
        recovery.sweep_halves(checkpoint)
        return {}
    if found.remedy is Remedy.RESTORE:
        assert found.copy is not None
        aside = recovery.restore(checkpoint, found.copy)
        return {"from": str(found.copy), "kept": str(aside) if aside else None}
    if found.remedy is Remedy.SET_ASIDE:
        recovery.set_aside(recovery.backup_of(checkpoint))
        return {"kept": str(recovery.set_aside(checkpoint))}
    if found.remedy is Remedy.FORGET:
        return {"forgotten": recovery.forget_pending(checkpoint)}
    home = Home(project.folder(environment))
    return {"kept": [str(put_aside(home, each)) for each in found.strays]}
