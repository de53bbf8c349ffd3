"""What can be known with which labels: never more than there is ground for."""

from __future__ import annotations

import pytest

from mlops.monitoring.performance.knowable import State, knowledge


@pytest.mark.parametrize(
    ("labelled", "sampled", "moved", "estimated", "state"),
    [
        (950, False, False, False, "known"),
        (100, True, False, False, "known"),
        (100, False, False, False, "estimated"),
        (0, False, True, True, "estimated"),
        (0, False, True, False, "cannot know"),
        # P(x) as before and no labels: no estimate can help.
        (0, False, False, True, "cannot know"),
        (0, False, None, True, "cannot know"),
        (29, True, False, True, "cannot know"),
    ],
)
def test_state(labelled: int, sampled: bool, moved: bool | None, estimated: bool, state: State) -> None:
    found = knowledge(1000, labelled, sampled=sampled, inputs_moved=moved, estimated=estimated)
    assert found.state == state
    assert f"{labelled} of 1000 predictions have labels" in found.sentence


def test_it_says_what_is_missing_and_when_it_comes() -> None:
    said = knowledge(1000, 0, inputs_moved=False, estimated=True, delay="3 days").sentence
    assert said == (
        "Inputs are as before and 0 of 1000 predictions have labels; labels come after 3 days; whether the "
        "concept changed cannot be known without at least 30 labels."
    )
    assert knowledge(0, 0).state == "cannot know"
    with pytest.raises(ValueError, match="12 labels of 10 predictions"):
        knowledge(10, 12)
