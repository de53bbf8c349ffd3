"""The reference of a model version: how its training data, its outputs and its quality looked."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from blueprints.errors import Problem, UsageProblem
from mlops.monitoring.performance.attribution import Group, grouped, losses
from mlops.monitoring.performance.columns import edges
from mlops.monitoring.performance.estimated import Calibration, Estimator, Losses, from_plain, to_plain
from mlops.monitoring.performance.fairness import Rates, by_group
from mlops.monitoring.performance.metrics import CLASSIFICATION, REGRESSION, metric
from mlops.monitoring.profile import Profile
from mlops.monitoring.profile.profile import arrow_table
from mlops.monitoring.profile.storage import from_bytes, to_bytes
from mlops.monitoring.service.seasons import Kind, Seasons
from mlops.monitoring.service.segments import of_reference, places
from mlops.monitoring.tests.baseline import Baseline
from mlops.monitoring.tests.ranks import area

if TYPE_CHECKING:
    from blueprints.environment import Environment

SCHEMA = 2
#: Where a run keeps it.
ARTIFACT = "modelyard/reference.json"
#: The name under which the model's own output is compared like a feature.
PREDICTION = "prediction"

Task = Literal["classification", "regression"]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Quality:
    """How good the model was on the reference: ``metric`` is ``auc`` or ``rmse``, with its standard error."""

    metric: str
    value: float
    error: float
    rows: int


@dataclass(frozen=True, eq=False)
class Reference:
    """What live data is compared with.

    Attributes:
        profile: Of the features and the model's output, on rows the model was not fitted on.
        quality: None: no labels, or not defined.
        importance: Share of the output that each column explains, 0 to 1, where it is known.
        expected: Each metric on the reference.
        segments: Profiles of ``region=EU`` and the like, watched beside all rows.
        groups: Mean loss of all rows (``""``) and of each segment, to tell later where it grew.
        edges: As ``groups``, of the rows whose value of a column is unusual.
        rates: Of all rows (``""``) and of each group that has to be treated alike.
        baseline: How much the reference's own windows differ; None: rows are taken as independent.
        seasons: Profiles of each hour or weekday; None: a window is compared with all of it.
        estimator: What tells the performance of outputs without labels; None: too few labels to learn it.
    """

    task: Task
    profile: Profile
    quality: Quality | None
    importance: Mapping[str, float] = field(default_factory=dict)
    expected: Mapping[str, float] = field(default_factory=dict)
    estimator: Estimator | None = None
    segments: Mapping[str, Profile] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)
    rates: Mapping[str, Rates] = field(default_factory=dict)
    baseline: Baseline | None = None
    seasons: Seasons | None = None
    edges: Mapping[str, Group] = field(default_factory=dict)

    def to_json(self) -> str:
        """For the artifact."""
        return json.dumps(
            {
                "schema": SCHEMA,
                "task": self.task,
                "profile": base64.b64encode(to_bytes(self.profile)).decode(),
                "quality": asdict(self.quality) if self.quality else None,
                "importance": dict(self.importance),
                "expected": dict(self.expected),
                "estimator": to_plain(self.estimator) if self.estimator else None,
                "segments": {
                    name: base64.b64encode(to_bytes(each)).decode() for name, each in self.segments.items()
                },
                "rates": {name: asdict(each) for name, each in self.rates.items()},
                "baseline": _plain(self.baseline) if self.baseline else None,
                "seasons": _plain_seasons(self.seasons) if self.seasons else None,
                "groups": _plain_groups(self.groups),
                "edges": _plain_groups(self.edges),
            }
        )

    @classmethod
    def from_json(cls, data: bytes | str) -> Reference:
        """Read the artifact.

        Raises:
            Problem: It cannot be read, or is of another release.
        """
        todo = "train again, or mlops.monitoring.service.reference.attach_reference"
        try:
            read = json.loads(data)
            schema = read["schema"]
            if schema != SCHEMA:
                raise Problem(
                    f"the reference has schema {schema}", where=ARTIFACT, expected=str(SCHEMA), todo=todo
                )
            quality = Quality(**read["quality"]) if read["quality"] else None
            # An earlier release wrote none of the last eight.
            segments = read.get("segments", {})
            plain = read.get("estimator")
            return cls(
                read["task"],
                from_bytes(base64.b64decode(read["profile"])),
                quality,
                read["importance"],
                read.get("expected", {}),
                from_plain(plain) if plain else None,
                {name: from_bytes(base64.b64decode(each)) for name, each in segments.items()},
                _groups(read.get("groups", {})),
                {
                    name: Rates(**{measure: tuple(pair) for measure, pair in each.items()})
                    for name, each in read.get("rates", {}).items()
                },
                _baseline(read.get("baseline")),
                _seasons(read.get("seasons")),
                _groups(read.get("edges", {})),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Problem(
                f"the reference cannot be read: {error!r}"[:200], where=ARTIFACT, todo=todo
            ) from None


def build_reference(
    features: Any,
    predictions: Any = None,
    labels: Any = None,
    task: Task = "classification",
    importance: Mapping[str, float] | None = None,
    segments: Sequence[str] = (),
    fairness: Sequence[str] = (),
    window_rows: int = 0,
    times: Any = None,
    season: Kind = "weekday_hour",
    timezone: str = "UTC",
) -> Reference:
    """Sum up data that is as it should be.

    Args:
        features: Arrow table, Polars or pandas frame, or columns by name; ``n`` rows. Use rows the model was
            not fitted on.
        predictions: ``n`` outputs (probability of the positive class, or the predicted number).
        labels: ``n`` true values; with them the quality is measured.
        task: Which quality metric.
        importance: By column, in any unit; negative ones count as none.
        segments: Columns whose most frequent values are watched apart as well.
        fairness: Columns whose values are groups that a classifier has to treat alike; segments, too.
        window_rows: The rows are in the order in which they happened: cut them into windows of so many (as
            ``monitoring.window_rows``), and hold later windows against how much these differ. Rows of an hour
            share its weather; taken as independent they alarm. 0: they are independent.
        times: When each row happened, shape ``(n,)``: a window of one hour or weekday is then compared with
            the rows of the same, where there are 500 of them.
        season: What is alike: ``hour``, ``weekday`` or ``weekday_hour``, in ``timezone``.

    Raises:
        UsageProblem: Lengths differ, there is no such column, or fewer than 8 windows.
    """
    table = arrow_table(features)
    profile = Profile.of(table)
    quality, expected, estimator = None, dict[str, float](), None
    lost: Floats | None = None
    segments = tuple(dict.fromkeys((*segments, *fairness)))
    if predictions is not None:
        scores = np.asarray(predictions, float)
        if scores.shape != (profile.rows,):
            raise UsageProblem(
                f"{profile.rows} rows of features, predictions of shape {scores.shape}",
                where="predictions",
                expected=f"({profile.rows},)",
            )
        output = Profile.of({PREDICTION: scores})
        profile = Profile(profile.rows, {**profile.columns, **output.columns})
        table = table.append_column(PREDICTION, [scores])
        if labels is not None:
            truth = np.asarray(labels, float)
            quality = measure(scores, truth, task)
            names = CLASSIFICATION if task == "classification" else REGRESSION
            found = {name: metric(name, truth, scores) for name in names}
            expected = {name: each.value for name, each in found.items() if each.defined}
            fit = Calibration.fit if task == "classification" else Losses.fit
            estimator = fit(scores, truth)
            lost = losses(scores, truth, task)
    weights = {name: max(0.0, float(value)) for name, value in (importance or {}).items()}
    total = sum(weights.values())
    shares = {name: value / total for name, value in weights.items()} if total else {}
    parts = of_reference(table, segments, profile)
    groups = {} if lost is None else grouped(lost, places(table, parts))
    unusual = {} if lost is None else grouped(lost, edges(profile, table))
    rates: dict[str, Rates] = {}
    if fairness and task == "classification" and predictions is not None:
        named = [name for name in parts if name.partition("=")[0] in fairness]
        known = None if labels is None else np.asarray(labels, float)
        rates = by_group(np.asarray(predictions, float), known, places(table, named))
    baseline = None
    if window_rows:
        starts = range(0, profile.rows - window_rows + 1, window_rows)
        cut = [Profile.of(table.slice(start, window_rows), like=profile) for start in starts]
        baseline = Baseline.of(cut)
    seasons = None if times is None else Seasons.of(table, times, season, timezone, profile)
    return Reference(
        task, profile, quality, shares, expected, estimator, parts, groups, rates, baseline, seasons, unusual
    )


def _plain_seasons(seasons: Seasons) -> dict[str, Any]:
    found = {name: base64.b64encode(to_bytes(each)).decode() for name, each in seasons.profiles.items()}
    return {"kind": seasons.kind, "zone": seasons.zone, "profiles": found}


def _seasons(plain: Mapping[str, Any] | None) -> Seasons | None:
    if plain is None:
        return None
    found = {name: from_bytes(base64.b64decode(each)) for name, each in plain["profiles"].items()}
    return Seasons(plain["kind"], plain["zone"], found)


def _plain_groups(groups: Mapping[str, Group]) -> dict[str, list[float]]:
    return {name: [each.rows, each.loss, each.variance] for name, each in groups.items()}


def _groups(plain: Mapping[str, Any]) -> dict[str, Group]:
    return {name: Group(*each) for name, each in plain.items()}


def _plain(baseline: Baseline) -> dict[str, Any]:
    found = [[*key, factor] for key, factor in sorted(baseline.inflation.items())]
    return {"blocks": baseline.blocks, "inflation": found}


def _baseline(plain: Mapping[str, Any] | None) -> Baseline | None:
    if plain is None:
        return None
    found = {(str(column), str(test)): float(factor) for column, test, factor in plain["inflation"]}
    return Baseline(found, int(plain["blocks"]))


def attach_reference(environment: Environment, model: str, version: str, reference: Reference) -> None:
    """Give a registered version, however it was made, the reference it is watched against.

    Raises:
        Problem: The tracking server is down, refuses, or knows no such version.
    """
    from mlops.tracking.client import TrackingClient

    client = TrackingClient(environment.tracking, timeout=30)
    try:
        run = client.version(model, version).run_id
        client.put_artifact(run, ARTIFACT, reference.to_json().encode())
    finally:
        client.close()


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
    known = (labels == 1) | (labels == 0)
    positive, negative = int((labels == 1).sum()), int((labels == 0).sum())
    if positive < 2 or negative < 2:
        return None
    auc = area(scores[known], labels[known] == 1)
    first, second = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = (auc * (1 - auc) + (positive - 1) * (first - auc**2) + (negative - 1) * (second - auc**2)) / (
        positive * negative
    )
    return Quality("auc", float(auc), float(np.sqrt(max(variance, 0.0))), len(scores))
