"""The catalog lists what there is, and what is not built says so."""

from __future__ import annotations

import pytest

from blueprints.catalog import catalog, find
from blueprints.errors import Problem, UsageProblem
from blueprints.layers import PURPOSE, Layer


def test_every_blueprint_says_what_each_layer_gets() -> None:
    assert list(catalog())[:3] == ["local", "kubernetes", "aws"]
    for blueprint in catalog().values():
        assert set(blueprint.layers) == set(Layer) == set(PURPOSE)
        assert str(blueprint.cost)
        assert blueprint.minutes > 0


def test_local_is_built_and_the_others_say_they_are_not() -> None:
    find("local").require_built()
    for name in ("kubernetes", "aws"):
        with pytest.raises(Problem, match=f"{name} blueprint is in the catalog.*cannot build it yet"):
            find(name).require_built()


def test_an_unknown_blueprint_lists_the_known() -> None:
    with pytest.raises(UsageProblem) as caught:
        find("azure")
    assert caught.value.expected == "local or kubernetes or aws"
