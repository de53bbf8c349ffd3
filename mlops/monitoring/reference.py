"""The reference of a model version: how its training data, its outputs and its quality looked."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from blueprints.errors import Problem

SCHEMA = 1
#: Where a run keeps it.
ARTIFACT = "modelyard/reference.json"
#: The name under which the model's own output is compared like a feature.
PREDICTION = "prediction"
_BINS = 32
_CATEGORIES = 30
REST = "(other)"

Task = Literal["classification", "regression"]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FeatureReference:
    """One column.

    Attributes:
        kind: ``number`` or ``category``.
        edges: Inner bin edges, ascending (numbers): quantiles of the reference.
        labels: Category of each count, the last is the pooled rest (categories).
        counts: Rows in each bin or category, missing ones not among them.
        missing: Rows without a value.
    """

    kind: Literal["number", "category"]
    edges: tuple[float, ...]
    labels: tuple[str, ...]
    counts: tuple[int, ...]
    missing: int

    @property
    def rows(self) -> int:
        """Rows in all."""
        return sum(self.counts) + self.missing


@dataclass(frozen=True)
class Quality:
    """How good the model was on the reference: ``metric`` is ``auc`` or ``rmse``, with its standard error."""

    metric: str
    value: float
    error: float
    rows: int


@dataclass(frozen=True)
class Reference:
    """What live data is compared with."""

    task: Task
    features: Mapping[str, FeatureReference]
    quality: Quality | None

    def to_json(self) -> str:
        """The text of the artifact."""
        return json.dumps({"schema": SCHEMA, **asdict(self)})

    @classmethod
    def from_json(cls, text: str | bytes) -> Reference:
        """Read the artifact.

        Raises:
            Problem: It is of a newer schema, or none of ours.
        """
        try:
            data = json.loads(text)
            if data["schema"] != SCHEMA:
                raise Problem(
                    f"the reference has schema {data['schema']}",
                    where=ARTIFACT,
                    expected=f"schema {SCHEMA}",
                    todo="upgrade Modelyard, or train again",
                )
            features = {
                name: FeatureReference(
                    each["kind"],
                    tuple(each["edges"]),
                    tuple(each["labels"]),
                    tuple(each["counts"]),
                    each["missing"],
                )
                for name, each in data["features"].items()
            }
            quality = Quality(**data["quality"]) if data["quality"] else None
            return cls(data["task"], features, quality)
        except (KeyError, TypeError, ValueError) as error:
            raise Problem(f"the reference cannot be read: {error}", where=ARTIFACT) from None


def build_reference(
    features: Mapping[str, Sequence[Any]],
    predictions: Sequence[float] | None = None,
    labels: Sequence[float] | None = None,
    task: Task = "classification",
) -> Reference:
    """The reference of a model.

    Args:
        features: Columns by name, ``n`` values each; None and NaN are missing.
        predictions: ``n`` outputs (probability of the positive class, or the predicted number).
        labels: ``n`` true values; with them the quality is measured. Use rows the model was not fitted on.
        task: Which quality metric.
    """
    described = {name: describe(values) for name, values in features.items()}
    if predictions is not None:
        described[PREDICTION] = describe(predictions)
    quality = None
    if predictions is not None and labels is not None:
        quality = measure(np.asarray(predictions, float), np.asarray(labels, float), task)
    return Reference(task, described, quality)


def describe(values: Sequence[Any]) -> FeatureReference:
    """The reference of one column."""
    numbers = as_numbers(values)
    if numbers is not None:
        present = numbers[~np.isnan(numbers)]
        inner = np.linspace(0, 1, _BINS + 1)[1:-1]
        quantiles = np.unique(np.quantile(present, inner)) if len(present) else present
        edges = tuple(float(each) for each in quantiles)
        counts = count_numbers(numbers, edges)
        return FeatureReference("number", edges, (), counts, int(np.isnan(numbers).sum()))
    words, missing = as_words(values)
    names, counted = np.unique(np.asarray(words, dtype=object).astype(str), return_counts=True)
    order = np.argsort(-counted, kind="stable")[:_CATEGORIES]
    labels = (*(str(names[index]) for index in order), REST)
    return FeatureReference("category", (), labels, count_words(words, labels), missing)


def as_numbers(values: Sequence[Any]) -> Floats | None:
    """The column as floats with NaN for missing, or None when it holds words."""
    try:
        array = np.asarray([math.nan if each is None else each for each in values], dtype=np.float64)
    except (TypeError, ValueError):
        return None
    array[~np.isfinite(array)] = math.nan
    return array


def as_words(values: Sequence[Any]) -> tuple[list[str], int]:
    """The present values as text, and how many are missing."""
    present = [str(each) for each in values if each is not None and each == each]
    return present, len(values) - len(present)


def count_numbers(values: Floats, edges: Sequence[float]) -> tuple[int, ...]:
    """Rows in each of ``len(edges) + 1`` bins; NaN is left out."""
    present = values[~np.isnan(values)]
    indexes = np.searchsorted(np.asarray(edges, float), present, side="right")
    return tuple(int(each) for each in np.bincount(indexes, minlength=len(edges) + 1))


def count_words(words: Sequence[str], labels: Sequence[str]) -> tuple[int, ...]:
    """Rows of each label; the last label takes the rest."""
    place = {label: index for index, label in enumerate(labels[:-1])}
    counts = [0] * len(labels)
    for word in words:
        counts[place.get(word, -1)] += 1
    return tuple(counts)


def measure(scores: Floats, labels: Floats, task: Task) -> Quality | None:
    """AUC with the standard error of Hanley and McNeil (Radiology 143, 1982), or RMSE with that of the delta
    method; None when it is not defined (one class only, no rows)."""
    keep = ~(np.isnan(scores) | np.isnan(labels))
    scores, labels = scores[keep], labels[keep]
    if task == "regression":
        if len(scores) < 2:
            return None
        squared = (scores - labels) ** 2
        rmse = float(np.sqrt(squared.mean()))
        error = float(squared.std(ddof=1) / np.sqrt(len(squared)) / (2 * rmse)) if rmse else 0.0
        return Quality("rmse", rmse, error, len(scores))
    positive, negative = int((labels == 1).sum()), int((labels == 0).sum())
    if positive < 2 or negative < 2:
        return None
    # The rank sum of Mann and Whitney, ties by their mean rank.
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    mean_ranks = np.cumsum(counts) - (counts - 1) / 2
    rank_sum = float(mean_ranks[inverse][labels == 1].sum())
    auc = (rank_sum - positive * (positive + 1) / 2) / (positive * negative)
    first, second = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = (auc * (1 - auc) + (positive - 1) * (first - auc**2) + (negative - 1) * (second - auc**2)) / (
        positive * negative
    )
    return Quality("auc", float(auc), float(np.sqrt(max(variance, 0.0))), len(scores))
