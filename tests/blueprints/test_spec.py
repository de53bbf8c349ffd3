"""EnvironmentSpec refuses what cannot be built."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from blueprints.keys import assign
from blueprints.spec import EnvironmentSpec


def test_the_default_is_complete_and_safe() -> None:
    spec = EnvironmentSpec()
    assert (spec.blueprint, spec.database.kind, spec.storage.kind) == ("local", "postgres", "s3")
    assert spec.storage.versioning
    assert spec.serving.enabled
    assert spec.monitoring.enabled


def test_two_services_cannot_have_one_port() -> None:
    with pytest.raises(Exception, match=r"storage\.port is 5000, and so is database\.port"):
        assign(EnvironmentSpec(), ["database.port=5000", "storage.port=5000"])


def test_a_spec_never_changes_in_place() -> None:
    with pytest.raises(ValidationError):
        EnvironmentSpec().serving.replicas = 3
