"""Labels that came late: how good the model was in a window, against the reference."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlops.monitoring.distribution import Distribution
from mlops.monitoring.finding import Finding
from mlops.monitoring.performance.judge import tail
from mlops.monitoring.service.reference import Reference, measure

#: A drop of quality is found when it is larger than this share of the reference value, and significant.
MIN_DROP = 0.03
_ALPHA = 0.005


def newest(labels: Any) -> Any:
    """One label for each id: of several, that with the latest time.

    Args:
        labels: Arrow table with ``id``, ``time`` and ``label``; a client that repeats or corrects one adds
            a row.
    """
    # Only an aggregation without threads keeps to the order of the rows.
    last = labels.sort_by("time").group_by("id", use_threads=False).aggregate([("label", "last")])
    return last.rename_columns(["id", "label"])


def in_order(rows: Any, joined: Any) -> tuple[Any, Any]:
    """Joined rows in the order of ``rows``, for a join has none, and where in ``rows`` each stands."""
    import pyarrow.compute as pc

    places = pc.index_in(joined["id"], value_set=rows["id"].combine_chunks()).to_numpy()
    order = np.argsort(places, kind="stable")
    return joined.take(order), places[order]


def judged(reference: Reference | None, joined: Any) -> Finding | None:
    """Whether the model was worse than on the reference: one-sided, by the standard errors of both (Wald).

    Args:
        joined: Arrow table with ``score`` and ``label``.

    Returns:
        None where there is nothing to compare with, or the metric is not defined.
    """
    import pyarrow.compute as pc

    if reference is None or reference.quality is None:
        return None
    answered = joined.filter(pc.is_valid(joined["score"]))
    scores, labels = (answered.column(name).to_numpy() for name in ("score", "label"))
    now = measure(np.asarray(scores, float), np.asarray(labels, float), reference.task)
    if now is None:
        return None
    before = reference.quality
    # Lower is worse for AUC, higher is worse for RMSE.
    worse = before.value - now.value if before.metric == "auc" else now.value - before.value
    error = float(np.hypot(before.error, now.error))
    p_value = tail(worse / error) if error else float(worse <= 0)
    floor = MIN_DROP * abs(before.value)
    found = worse >= floor and p_value < _ALPHA
    return Finding(
        "", "performance", before.metric, now.value, worse, floor, p_value, p_value, found,
        "page" if found else "none",
        f"{before.metric} is {now.value:.3f}, was {before.value:.3f} on the reference ({now.rows} labels)",
        reference=Distribution((before.metric,), (before.value,)),
        current=Distribution((before.metric,), (now.value,)),
    )  # fmt: skip
