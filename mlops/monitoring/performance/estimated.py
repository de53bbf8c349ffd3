"""Performance without labels: what the outputs themselves promise, once calibrated on the reference.

It rests on one assumption, that among rows with one output as many are right as on the reference. Other
inputs are fine then, a changed concept is not: without labels nobody can see that, and these figures do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mlops.monitoring.performance.judge import Estimate, Floats, quantile, undefined

_SMALL = 1e-6
_DRAWS = 200
#: More rows of a window than this tell no more about its mean than a sample of them.
_MOST_ROWS = 5000
_LEAST_ROWS = 30
_BINS, _ROWS_A_BIN = 30, 100
_Z = quantile(0.975)


@dataclass(frozen=True)
class Calibration:
    """Chance of the positive class by score, with the uncertainty of having learnt it from the reference.

    Beta calibration: a logistic regression on ``ln s`` and ``-ln(1 - s)`` (Kull, Silva Filho, Flach, "Beta
    calibration", AISTATS 2017); of scores that are no probabilities on the score itself (Platt 1999).

    Attributes:
        weights: ``k`` coefficients, the constant last.
        covariance: ``k x k``, of the weights (inverse Fisher information).
        low, high: Scores below and above are taken as these: nothing is known beyond.
        middle, scale: Of scores that are no probabilities; scale 0: they are.
    """

    weights: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]
    low: float
    high: float
    middle: float = 0.0
    scale: float = 0.0

    @classmethod
    def fit(cls, scores: npt.ArrayLike, labels: npt.ArrayLike) -> Calibration | None:
        """Learn it from ``n`` scores and labels 0 or 1; None: too few rows, or one class only."""
        given, truth = np.asarray(scores, float), np.asarray(labels, float)
        known = np.isfinite(given) & ((truth == 0) | (truth == 1))
        given, truth = given[known], truth[known]
        if min(truth.sum(), len(truth) - truth.sum()) < _LEAST_ROWS or np.ptp(given) == 0:
            return None
        shares = bool(given.min() >= 0 and given.max() <= 1)
        middle, scale = (0.0, 0.0) if shares else (float(given.mean()), float(given.std()))
        made = cls((), (), float(given.min()), float(given.max()), middle, scale)
        features = made._features(given)
        weights, information = _logistic(features, truth)
        covariance = np.linalg.pinv(information)
        rows = tuple(tuple(map(float, row)) for row in covariance)
        return cls(tuple(map(float, weights)), rows, made.low, made.high, middle, scale)

    def _features(self, scores: Floats) -> Floats:
        held = np.clip(scores, self.low, self.high)
        if self.scale:
            return np.column_stack([(held - self.middle) / self.scale, np.ones(len(held))])
        held = np.clip(held, _SMALL, 1 - _SMALL)
        return np.column_stack([np.log(held), -np.log1p(-held), np.ones(len(held))])

    def chances(self, scores: npt.ArrayLike) -> Floats:
        """Chance of the positive class for ``n`` scores."""
        return _sigmoid(self._features(np.asarray(scores, float)) @ np.asarray(self.weights))

    def drawn(self, scores: Floats, number: int, random: np.random.Generator) -> Floats:
        """``number x n`` chances, each row by other weights that the reference allows."""
        weights = random.multivariate_normal(self.weights, self.covariance, number, method="svd")
        return _sigmoid(weights @ self._features(scores).T)

    def estimates(self, scores: npt.ArrayLike, threshold: float = 0.5, seed: int = 0) -> dict[str, Estimate]:
        """AUC, accuracy, precision, recall, F1, Brier score and log loss of a window.

        The interval is where the realised figure of this window is to be expected 95 times of 100: labels
        drawn 200 times from chances that are drawn themselves.

        Args:
            scores: ``n`` outputs.
            threshold: From which a score is called positive.
        """
        given = np.asarray(scores, float)
        given = given[np.isfinite(given)]
        count = len(given)
        if count < _LEAST_ROWS:
            return {name: undefined(name, count, f"{count} rows") for name in ("auc", "accuracy")}
        random = np.random.default_rng(seed)
        if count > _MOST_ROWS:
            given = random.choice(given, _MOST_ROWS, replace=False)
        chances = self.drawn(given, _DRAWS, random)
        labels = random.random(chances.shape) < chances
        found = _classified(given, labels, threshold, probabilities=not self.scale)
        return {name: _interval(name, values, count) for name, values in found.items()}


@dataclass(frozen=True)
class Losses:
    """Absolute and squared error by the number that was predicted, learnt from the reference (the idea of
    direct loss estimation, with bins of equal numbers of rows as the model of the loss).

    Attributes:
        edges: Inner edges of the bins.
        rows: Of the reference in each bin.
        absolute, squared: Mean loss in each bin, and ``…_spread`` the variance of a row's.
    """

    edges: tuple[float, ...]
    rows: tuple[int, ...]
    absolute: tuple[float, ...]
    absolute_spread: tuple[float, ...]
    squared: tuple[float, ...]
    squared_spread: tuple[float, ...]

    @classmethod
    def fit(cls, predictions: npt.ArrayLike, labels: npt.ArrayLike) -> Losses | None:
        """Learn it from ``n`` predictions and true numbers; None: too few rows."""
        given, truth = np.asarray(predictions, float), np.asarray(labels, float)
        known = np.isfinite(given) & np.isfinite(truth)
        given, off = given[known], np.abs(truth[known] - given[known])
        bins = min(_BINS, len(given) // _ROWS_A_BIN)
        if bins < 2:
            return None
        edges = np.unique(np.quantile(given, np.arange(1, bins) / bins))
        place = np.searchsorted(edges, given)
        kept = [off[place == each] for each in range(len(edges) + 1)]
        # A bin between equal edges is empty; it takes what all rows say.
        kept = [each if len(each) else off for each in kept]
        return cls(
            tuple(map(float, edges)),
            tuple(map(len, kept)),
            tuple(float(each.mean()) for each in kept),
            tuple(float(each.var()) for each in kept),
            tuple(float((each**2).mean()) for each in kept),
            tuple(float((each**2).var()) for each in kept),
        )

    def estimates(self, predictions: npt.ArrayLike) -> dict[str, Estimate]:
        """MAE and RMSE of a window, with the interval in which its realised figure is to be expected."""
        given = np.asarray(predictions, float)
        given = given[np.isfinite(given)]
        count = len(given)
        if count < _LEAST_ROWS:
            return {name: undefined(name, count, f"{count} rows") for name in ("mae", "rmse")}
        places = np.searchsorted(np.asarray(self.edges), given)
        shares = np.bincount(places, minlength=len(self.rows)) / count
        rows = np.asarray(self.rows, float)

        def mean(values: tuple[float, ...], spreads: tuple[float, ...]) -> tuple[float, float]:
            spread = np.asarray(spreads)
            learnt, drawn = (shares**2 * spread / rows).sum(), (shares * spread).sum() / count
            return float(shares @ np.asarray(values)), float(np.sqrt(learnt + drawn))

        mae, error = mean(self.absolute, self.absolute_spread)
        mse, squared = mean(self.squared, self.squared_spread)
        rmse = float(np.sqrt(mse))
        pairs = {"mae": (mae, error), "rmse": (rmse, squared / (2 * rmse) if rmse else 0.0)}
        return {
            name: Estimate(name, value, off, max(0.0, value - _Z * off), value + _Z * off, count)
            for name, (value, off) in pairs.items()
        }


Estimator = Calibration | Losses
_KINDS: Mapping[str, type[Calibration] | type[Losses]] = {"calibration": Calibration, "losses": Losses}


def to_plain(estimator: Estimator) -> dict[str, Any]:
    """For JSON."""
    return {"kind": type(estimator).__name__.lower(), **vars(estimator)}


def from_plain(data: Mapping[str, Any]) -> Estimator:
    """What :func:`to_plain` made."""
    values = {name: _tuples(value) for name, value in data.items() if name != "kind"}
    return _KINDS[str(data["kind"])](**values)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


def _sigmoid(values: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -40, 40))))


def _logistic(features: Floats, labels: Floats) -> tuple[Floats, Floats]:
    """Maximum likelihood by Newton's method with a trace of a ridge, and the information there."""
    weights = np.zeros(features.shape[1])
    ridge = np.eye(len(weights)) * 1e-3
    information = ridge
    for _ in range(50):
        chances = _sigmoid(features @ weights)
        information = (features * (chances * (1 - chances))[:, None]).T @ features + ridge
        step = np.linalg.solve(information, features.T @ (labels - chances) - ridge @ weights)
        weights = weights + step
        if np.abs(step).max() < 1e-9:
            break
    return weights, information


def _classified(
    scores: Floats, labels: npt.NDArray[np.bool_], threshold: float, probabilities: bool
) -> dict[str, Floats]:
    """Each metric for each row of ``draws x n`` labels."""
    called = scores >= threshold
    positive = labels.sum(axis=1)
    hits = (labels & called).sum(axis=1)
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    negative = labels.shape[1] - positive
    with np.errstate(invalid="ignore", divide="ignore"):
        found = {
            "auc": (labels @ ranks - positive * (positive + 1) / 2) / (positive * negative),
            "accuracy": (labels == called).mean(axis=1),
            "precision": hits / called.sum(),
            "recall": hits / positive,
            "f1": 2 * hits / (positive + called.sum()),
        }
    if probabilities:
        held = np.clip(scores, 1e-15, 1 - 1e-15)
        found["brier"] = ((labels - scores) ** 2).mean(axis=1)
        found["log_loss"] = (
            -(labels @ np.log(held) + np.logical_not(labels) @ np.log1p(-held)) / labels.shape[1]
        )
    return found


def _interval(name: str, values: Floats, rows: int) -> Estimate:
    known = values[np.isfinite(values)]
    if len(known) < len(values) / 2:
        return undefined(name, rows, "too few rows are, or were called, positive")
    low, high = np.quantile(known, [0.025, 0.975])
    return Estimate(name, float(known.mean()), float(known.std(ddof=1)), float(low), float(high), rows)
