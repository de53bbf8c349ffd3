"""What a program may say through the engine."""

from __future__ import annotations

from unittest.mock import Mock

import pulumi
import pytest

import stacks.engine.workspace  # noqa: F401  quiets the SDK


def test_debug_messages_stay_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Mock()
    monkeypatch.setattr(pulumi.log, "get_engine", lambda: engine)
    pulumi.log.debug("preparing resource: ty=x")
    engine.Log.assert_not_called()
    pulumi.log.warn("look at this")
    engine.Log.assert_called_once()
