"""Conversion of a version to ONNX, accepted only when it answers what the original answers.

At registration, with the held-out rows: ``attach`` of :mod:`~mlops.serving.runtime.register`. For a version
registered without: this module as a program, which :mod:`~mlops.serving.runtime.apart` runs with limits.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import logging
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from blueprints.errors import Problem
from mlops.serving.rows import Batch, ModelFaultError, Outputs
from mlops.serving.runtime import hist_trees, mlmodel, parity, trust
from mlops.serving.runtime.batching import outputs_of
from mlops.serving.runtime.export import NotPossibleError, boosted_graph, sklearn_graph
from mlops.serving.runtime.mlmodel import LoggedModel
from mlops.serving.runtime.native import predictor, sklearn_predict
from mlops.serving.runtime.onnx import Graph, Plan, output_names

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Conversion:
    """What came of it.

    Attributes:
        ok: There is a graph and it answers what the original answers.
        reason: Why not, in words.
        max_error: The largest difference found (:data:`parity.LIMIT` is what is allowed).
        measure: What that difference is.
        rows: Rows that were compared, of them ``given`` by the caller.
        numbers: Type of the graph's numeric inputs.
        plan: How the graph stands in for the original.
        graph: The file, when ``ok``.
        seconds: It took.
        versions: Of the libraries that took part.
    """

    ok: bool
    reason: str = ""
    max_error: float | None = None
    measure: str = ""
    rows: int = 0
    given: int = 0
    numbers: str = ""
    plan: Plan = field(default_factory=Plan)
    graph: bytes | None = field(default=None, repr=False)
    seconds: float = 0.0
    versions: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The report, flat, with the plan's fields; without the graph."""
        finite = self.max_error is not None and self.max_error < float("inf")
        return {
            "ok": self.ok,
            "reason": self.reason,
            "max_error": self.max_error if finite else None,
            "limit": parity.LIMIT,
            "measure": self.measure,
            "rows": self.rows,
            "given": self.given,
            "numbers": self.numbers,
            "seconds": round(self.seconds, 2),
            "versions": dict(self.versions),
            **self.plan.to_json(),
        }


def convert(folder: Path, rows: Any = None) -> Conversion:
    """Convert a logged model and compare. Loads it: whoever calls has made sure that it is trusted.

    Args:
        folder: With its ``MLmodel``.
        rows: Held-out rows: a pandas DataFrame, a mapping of columns, a :class:`Batch`, or None: its input
            example.
    """
    start = time.monotonic()
    try:
        found = _convert(mlmodel.read(folder), rows)
    except (NotPossibleError, ModelFaultError, Problem) as error:
        found = Conversion(False, (str(error).splitlines() or [""])[0])
    except Exception as error:  # of a library: it must cost the conversion, never the training around it
        log.exception("the conversion of %s failed", folder)
        text = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
        found = Conversion(False, f"the conversion failed: {text}")
    versions = {name: _version(name) for name in ("skl2onnx", "onnxruntime", "scikit-learn")}
    return replace(found, seconds=time.monotonic() - start, versions=versions)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _convert(model: LoggedModel, rows: Any) -> Conversion:
    export, call, orders = _loaded(model)
    ask = _original(call)
    given = _batch(model, rows)
    ask(given)  # a model that does not take these says why
    asked = parity.widened(given, ask)
    expected = [ask(each) for each in asked]
    refuses = parity.refusals(given, ask)
    base = Conversion(
        False,
        measure="absolute" if _probabilities(model) else "divided by the root mean square of the original",
        rows=sum(each.rows for each in asked),
        given=given.rows,
        plan=Plan(dtype=str(expected[0].values.dtype), refuses=refuses),
    )
    tried: list[Conversion] = []
    texts = any(column.kind == "string" for column in model.signature.columns)
    for double in orders:
        try:
            graph = export(double)
        except NotPossibleError as error:
            tried.append(replace(base, reason=str(error)))
            continue
        for missing in ("", "nan", "None") if texts else ("",):
            part = replace(
                base,
                numbers="float64" if double else "float32",
                plan=replace(base.plan, missing=missing),
                graph=graph,
            )
            tried.append(_compared(part, model, asked, expected))
            if tried[-1].ok:
                return tried[-1]
    best = min(tried, key=lambda each: float("inf") if each.max_error is None else each.max_error)
    return replace(best, graph=None)


def _probabilities(model: LoggedModel) -> bool:
    return model.predict_fn == "predict_proba"


def _loaded(
    model: LoggedModel,
) -> tuple[Callable[[bool], bytes], Callable[[Batch], Any], tuple[bool, ...]]:
    """The exporter (by whether numbers are float64), the original's predict, and what to try in order.

    Raises:
        NotPossibleError: The flavour has no exporter, or what pyfunc calls is no output of its graph.
    """
    loader = str(model.flavors.get("python_function", {}).get("loader_module", ""))
    if loader == "mlflow.onnx":
        raise NotPossibleError("it is ONNX already")
    if loader not in ("mlflow.sklearn", "mlflow.xgboost", "mlflow.lightgbm"):
        raise NotPossibleError(f"no exporter for {loader or 'this flavour'}: only its author's code answers")
    if model.predict_fn not in ("predict", "predict_proba"):
        raise NotPossibleError(f"no graph answers {model.predict_fn}")
    if loader == "mlflow.sklearn":
        import mlflow.sklearn

        estimator = mlflow.sklearn.load_model(str(model.folder))
        orders = (True,) if hist_trees.within(estimator) else (False, True)
        return partial(sklearn_graph, estimator, model), sklearn_predict(estimator, model), orders
    library = loader.rpartition(".")[2]
    flavor: Any = importlib.import_module(loader)
    booster = flavor.load_model(str(model.folder))

    def export(double: bool) -> bytes:
        return boosted_graph(booster, model, library, double)

    return export, predictor(model), ((True, False) if library == "lightgbm" else (False,))


def _original(call: Callable[[Batch], Any]) -> parity.Ask:
    def ask(batch: Batch) -> Outputs:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return outputs_of(call(batch))
        except ModelFaultError:
            raise
        except Exception as error:
            text = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
            raise ModelFaultError(f"the original refuses the rows: {text}") from error

    return ask


def _batch(model: LoggedModel, rows: Any) -> Batch:
    if isinstance(rows, Batch):
        return rows
    if rows is None:
        found = mlmodel.example(model)
        if found is None:
            raise NotPossibleError("no rows to compare on: it was logged without an input example")
        return found
    if model.signature.tensor is not None or (not model.signature.columns and hasattr(rows, "to_numpy")):
        values = np.ascontiguousarray(getattr(rows, "to_numpy", lambda: np.asarray(rows))())
        return Batch(model.signature, len(values), values, None, [""] * len(values))
    return mlmodel.of_columns(model.signature, rows)


def _compared(
    part: Conversion, model: LoggedModel, asked: list[Batch], expected: list[Outputs]
) -> Conversion:
    """The conversion with its verdict, read the way that comes nearest to the original."""
    assert part.graph is not None
    found: list[Conversion] = []
    try:
        for plan in _plans(part.plan, output_names(part.graph), _probabilities(model)):
            graph = Graph(part.graph, model.signature, plan)
            worst = 0.0
            for rows, wanted in zip(asked, expected, strict=True):
                worst = max(worst, parity.difference(wanted, graph.predict(rows), _probabilities(model)))
            if worst <= parity.LIMIT:
                return replace(part, ok=True, plan=plan, max_error=worst)
            how = "other classes" if worst == float("inf") else f"differs by {worst:.2g}"
            reason = f"not equal to the original: {how}, {parity.LIMIT:g} is allowed ({part.measure})"
            found.append(replace(part, reason=reason, max_error=worst))
    except Exception as error:
        text = (str(error).splitlines() or [""])[0][:200]
        return replace(part, reason=f"the graph does not answer: {text}")
    return min(found, key=lambda each: each.max_error or 0.0)


def _plans(base: Plan, names: list[str], probabilities: bool) -> list[Plan]:
    """Which of a graph's outputs may be what the original answers: classes or values first, probabilities
    second; a booster answers the probability of its second class alone."""
    first, second = replace(base, output=names[0]), replace(base, output=names[-1])
    if len(names) < 2:
        return [first]
    return [second] if probabilities else [first, second, replace(second, column=1)]


def main(words: list[str] | None = None) -> int:
    """Convert one logged model into a folder: ``model.onnx`` when it is equal, and ``report.json`` always."""
    parser = argparse.ArgumentParser("python -m mlops.serving.runtime.convert", description=main.__doc__)
    parser.add_argument("model", type=Path, help="folder with the MLmodel")
    parser.add_argument("into", type=Path, help="folder for model.onnx and report.json")
    parser.add_argument("--rows", type=Path, help="held-out rows as JSON: {column: [values]}")
    parser.add_argument("--trust", action="store_true", help="load files that can run code")
    given = parser.parse_args(words)
    try:
        trust.check(mlmodel.read(given.model), given.trust, str(given.model))
    except Problem as problem:
        print(problem, file=sys.stderr)  # noqa: T201
        return int(problem.code)
    rows = json.loads(given.rows.read_text("utf-8")) if given.rows else None
    found = convert(given.model, rows)
    given.into.mkdir(parents=True, exist_ok=True)
    if found.graph is not None:
        (given.into / "model.onnx").write_bytes(found.graph)
    (given.into / "report.json").write_text(json.dumps(found.to_json()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
