"""What can be said of performance with the labels there are: known, estimated, or not to be known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mlops.monitoring.performance.judge import LEAST_ROWS
from mlops.monitoring.performance.realised import LEAST_COVERAGE

State = Literal["known", "estimated", "cannot know"]


@dataclass(frozen=True)
class Knowledge:
    """A state, and one sentence that gives the reason."""

    state: State
    sentence: str


def knowledge(
    rows: int,
    labelled: int,
    *,
    sampled: bool = False,
    inputs_moved: bool | None = None,
    estimated: bool = False,
    delay: str = "",
) -> Knowledge:
    """What is known of a window.

    Without labels a changed concept leaves no trace: where P(x) is as before, scores and inputs look as
    they did, whatever became of P(y|x). An estimate from inputs assumes that P(y|x) stayed.

    Args:
        rows: Predictions of the window.
        labelled: Those with a label by now.
        sampled: Whether labels were asked for by known chances (:mod:`.sampling`), so that few speak for all.
        inputs_moved: Whether P(x) is another than the reference's; None: not looked.
        estimated: Whether performance was estimated from scores (:mod:`.estimated`).
        delay: After how long labels come, in words (``3 days``); empty: not known.

    Raises:
        ValueError: Negative counts, or more labels than rows.
    """
    if not 0 <= labelled <= rows:
        raise ValueError(f"{labelled} labels of {rows} predictions, expected from 0 to {rows}")
    if not rows:
        return Knowledge("cannot know", "Nothing was predicted, so there is no performance to know.")
    have = f"{labelled} of {rows} predictions have labels"
    if labelled >= LEAST_ROWS and labelled >= LEAST_COVERAGE * rows:
        return Knowledge("known", f"{have}, so performance and a change of concept are measured.")
    if labelled >= LEAST_ROWS and sampled:
        return Knowledge(
            "known", f"{have}, drawn by known chances, so they speak for all within the interval."
        )
    wait = f"; labels come after {delay}" if delay else ""
    if labelled >= LEAST_ROWS:
        return Knowledge(
            "estimated",
            f"{have} and nobody knows why those{wait}; figures hold if the others are like them.",
        )
    moved = {True: "Inputs changed", False: "Inputs are as before", None: "Inputs were not looked at"}[
        inputs_moved
    ]
    if estimated and inputs_moved:
        return Knowledge(
            "estimated",
            f"{moved} and {have}{wait}; the estimate holds only if equal inputs still mean equal labels.",
        )
    return Knowledge(
        "cannot know",
        f"{moved} and {have}{wait}; whether the concept changed cannot be known without at least "
        f"{LEAST_ROWS} labels.",
    )
