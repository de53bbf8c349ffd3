"""Metrics, each with its standard error, weighted or not, and in words why one is not defined.

Every metric is written as a value and the influence of each row on it; the standard error is then that of
a weighted mean. One way for all: the error of a mean of metrics over classes is that of the mean of the
influences.

Source: Hampel, "The influence curve and its role in robust estimation" (JASA 69, 1974); the influence of the
AUC is DeLong, DeLong, Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating
characteristic curves" (Biometrics 44, 1988).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlops.monitoring.performance.judge import Estimate, Floats, quantile, undefined

_Z = quantile(0.975)
_SMALL = 1e-15
_BINS = 10


class _UndefinedError(ValueError):
    """A metric that these rows do not define; the text is why."""


@dataclass(frozen=True)
class _Rows:
    labels: Floats
    scores: Floats
    weights: Floats  # of mean 1
    threshold: float
    share: float  # of the pinball loss

    @property
    def positive(self) -> Floats:
        return np.asarray(self.labels == 1, dtype=np.float64)

    @property
    def called(self) -> Floats:
        return np.asarray(self.scores >= self.threshold, dtype=np.float64)

    def mean(self, values: Floats) -> float:
        return float(np.average(values, weights=self.weights))


_Measured = tuple[float, Floats]


def _mean(rows: _Rows, values: Floats) -> _Measured:
    middle = rows.mean(values)
    return middle, values - middle


def _ratio(rows: _Rows, above: Floats, below: Floats, why: str) -> _Measured:
    """A ratio of means, linearised."""
    base = rows.mean(below)
    if base <= 0:
        raise _UndefinedError(why)
    value = rows.mean(above) / base
    return value, (above - value * below) / base


def _auc(rows: _Rows) -> _Measured:
    yes = rows.labels == 1
    if not yes.any() or yes.all():
        raise _UndefinedError("one class only")
    _, place = np.unique(rows.scores, return_inverse=True)
    count = int(place.max()) + 1
    above = np.bincount(place[yes], rows.weights[yes], count)
    below = np.bincount(place[~yes], rows.weights[~yes], count)
    total_yes, total_no = above.sum(), below.sum()
    # Share of the other class on the right side of each score, a tie counting half.
    beaten = (np.cumsum(below) - below / 2) / total_no
    beating = 1 - (np.cumsum(above) - above / 2) / total_yes
    placed = np.where(yes, beaten[place], beating[place])
    value = float(np.average(beaten[place[yes]], weights=rows.weights[yes]))
    shares = np.where(yes, total_yes, total_no) / (total_yes + total_no)
    return value, (placed - value) / shares


def _log_loss(rows: _Rows) -> _Measured:
    scores = np.clip(rows.scores, _SMALL, 1 - _SMALL)
    return _mean(rows, -np.where(rows.labels == 1, np.log(scores), np.log1p(-scores)))


def _calibration(rows: _Rows) -> _Measured:
    """Squared calibration error in bins of equal mass, less what chance alone gives, so that windows of
    different size can be compared (Kumar, Liang, Ma, "Verified uncertainty calibration", NeurIPS 2019)."""
    edges = np.unique(np.quantile(rows.scores, np.linspace(0, 1, _BINS + 1)[1:-1]))
    place = np.searchsorted(edges, rows.scores, side="right")
    mass = np.bincount(place, rows.weights, len(edges) + 1)
    squares = np.bincount(place, rows.weights**2, len(edges) + 1)
    gaps = rows.positive - rows.scores
    mass[mass == 0] = 1.0
    gap = np.bincount(place, rows.weights * gaps, len(edges) + 1) / mass
    spread = np.bincount(place, rows.weights * (gaps - gap[place]) ** 2, len(edges) + 1) / mass
    chance = spread * squares / mass**2
    shares = mass / rows.weights.sum()
    value = float((shares * (gap**2 - chance)).sum())
    influence = 2 * gap[place] * (gaps - gap[place]) + gap[place] ** 2 - float((shares * gap**2).sum())
    # Where the gaps vanish so does the first order: the second one is spread over the rows.
    second = 2 * float((shares**2 * chance**2).sum())
    signs = np.where(np.arange(len(gaps)) % 2 == 0, 1.0, -1.0)
    return value, influence + signs * math.sqrt(second * len(gaps))


def _r2(rows: _Rows) -> _Measured:
    middle = rows.mean(rows.labels)
    value, influence = _ratio(
        rows, (rows.labels - rows.scores) ** 2, (rows.labels - middle) ** 2, "all labels are the same"
    )
    return 1 - value, -influence


def _rmse(rows: _Rows) -> _Measured:
    square, influence = _mean(rows, (rows.labels - rows.scores) ** 2)
    root = math.sqrt(square)
    return root, influence / (2 * root) if root else np.zeros_like(influence)


def _mape(rows: _Rows) -> _Measured:
    if not rows.labels.all():
        raise _UndefinedError("a label is 0, a relative error has no meaning there")
    return _mean(rows, np.abs((rows.labels - rows.scores) / rows.labels))


def _pinball(rows: _Rows) -> _Measured:
    gaps = rows.labels - rows.scores
    return _mean(rows, np.maximum(rows.share * gaps, (rows.share - 1) * gaps))


_CLASSIFICATION: dict[str, Callable[[_Rows], _Measured]] = {
    "auc": _auc,
    "accuracy": lambda rows: _mean(rows, (rows.called == rows.positive).astype(float)),
    "log_loss": _log_loss,
    "brier": lambda rows: _mean(rows, (rows.positive - rows.scores) ** 2),
    "precision": lambda rows: _ratio(
        rows, rows.called * rows.positive, rows.called, "no row was called positive"
    ),
    "recall": lambda rows: _ratio(rows, rows.called * rows.positive, rows.positive, "no row is positive"),
    "f1": lambda rows: _ratio(
        rows, 2 * rows.called * rows.positive, rows.called + rows.positive, "no row is or was called positive"
    ),
    "calibration": _calibration,
}
_REGRESSION: dict[str, Callable[[_Rows], _Measured]] = {
    "rmse": _rmse,
    "mae": lambda rows: _mean(rows, np.abs(rows.labels - rows.scores)),
    "mape": _mape,
    "pinball": _pinball,
    "r2": _r2,
}
CLASSIFICATION = tuple(_CLASSIFICATION)
REGRESSION = tuple(_REGRESSION)
_BIGGER_IS_BETTER = {"auc", "accuracy", "precision", "recall", "f1", "r2"}
_SHARES = {"accuracy", "precision", "recall", "f1"}


def lower_is_worse(metric: str) -> bool:
    """Whether a smaller figure is a worse one."""
    return metric in _BIGGER_IS_BETTER


def metric(
    name: str,
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    *,
    threshold: float = 0.5,
    share: float = 0.5,
) -> Estimate:
    """One metric with its standard error and 95 % interval.

    Args:
        name: Of :data:`CLASSIFICATION` or :data:`REGRESSION`. ``calibration`` is the squared
            calibration error, freed of chance (it may be below 0).
        labels: ``n`` true values; 0 and 1 for a binary classifier, 0 to k - 1 with k classes. NaN: not known.
        scores: ``n`` predictions (probability of class 1, or the number), or ``n x k`` probabilities; then
            AUC, precision, recall, F1 and calibration are means over the classes, each against the rest, and
            accuracy asks for the most probable class.
        weights: ``n``, not negative.
        threshold: From which a binary score is called positive.
        share: The quantile that the pinball loss is of.
    """
    truth, given = np.asarray(labels, float), np.asarray(scores, float)
    mass = np.ones(len(truth)) if weights is None else np.asarray(weights, float)
    known = (
        np.isfinite(truth)
        & (np.isfinite(given).all(axis=1) if given.ndim == 2 else np.isfinite(given))
        & (mass > 0)
    )
    truth, given, mass = truth[known], given[known], mass[known]
    if len(truth) < 2:
        return undefined(name, len(truth), "no rows" if not len(truth) else "one row")
    rows = _Rows(truth, given, mass / mass.mean(), threshold, share)
    try:
        return _estimate(name, *_measured(name, rows), rows)
    except _UndefinedError as why:
        return undefined(name, len(truth), str(why))


def influences(
    name: str,
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    weights: npt.ArrayLike,
    *,
    threshold: float = 0.5,
) -> tuple[float, Floats]:
    """A metric and the influence of each of ``n`` rows on it, for errors of samples not drawn evenly.
    Labels are all known, weights all positive.

    Raises:
        ValueError: These rows do not define it; the text is why.
    """
    truth, given, mass = np.asarray(labels, float), np.asarray(scores, float), np.asarray(weights, float)
    return _measured(name, _Rows(truth, given, mass / mass.mean(), threshold, 0.5))


def _measured(name: str, rows: _Rows) -> _Measured:
    if rows.scores.ndim == 2:
        return _several(name, rows)
    return (_CLASSIFICATION | _REGRESSION)[name](rows)


def _several(name: str, rows: _Rows) -> _Measured:
    """A metric of a classifier of several classes."""
    count = rows.scores.shape[1]
    each_row = np.arange(len(rows.labels))
    classes = rows.labels.astype(int)
    called = rows.scores.argmax(axis=1)
    if ((classes < 0) | (classes >= count)).any():
        raise _UndefinedError(f"a label is none of the {count} classes")
    if name == "accuracy":
        return _mean(rows, (called == classes).astype(float))
    if name == "log_loss":
        return _mean(rows, -np.log(np.clip(rows.scores[each_row, classes], _SMALL, 1)))
    if name == "brier":
        hot = np.eye(count)[classes]
        return _mean(rows, ((rows.scores - hot) ** 2).sum(axis=1))
    values, influences = [], []
    for one in range(count):
        scores = rows.scores[:, one] if name in ("auc", "calibration") else (called == one).astype(float)
        truth = (classes == one).astype(float)
        try:
            value, influence = _CLASSIFICATION[name](_Rows(truth, scores, rows.weights, 0.5, rows.share))
        except _UndefinedError:
            continue  # a class that is not there has no say
        values.append(value)
        influences.append(influence)
    if not values:
        raise _UndefinedError("one class only")
    return float(np.mean(values)), np.mean(influences, axis=0)


def _estimate(name: str, value: float, influence: Floats, rows: _Rows) -> Estimate:
    count = len(influence)
    effective = float(rows.weights.sum() ** 2 / (rows.weights**2).sum())
    error = math.sqrt(float((rows.weights**2 * influence**2).sum())) / count
    error *= math.sqrt(count / (count - 1))
    if name in _SHARES or name == "auc":
        # All right or all wrong looks certain and is not: never surer than with one success and one failure
        # more (Agresti, Coull, "Approximate is better than exact", American Statistician 52, 1998).
        few = effective
        if name == "auc":
            few = 2 * min(float(rows.positive.mean()), 1 - float(rows.positive.mean())) * effective
            few = few if rows.scores.ndim == 1 else effective
        if value in (0.0, 1.0):
            middle = (value * few + 1) / (few + 2)
            error = max(error, math.sqrt(middle * (1 - middle) / (few + 2)))
    low, high = value - _Z * error, value + _Z * error
    if name in _SHARES or name == "auc":
        low, high = max(low, 0.0), min(high, 1.0)
    return Estimate(name, value, error, low, high, count)
