"""A loaded model as the bytes of an ONNX graph, by the exporter of its library."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from mlops.serving.runtime.mlmodel import LoggedModel

#: Kinds of a signature's columns that are texts.
_TEXT = ("string",)


class NotPossibleError(Exception):
    """There is no conversion, for the reason given."""


def sklearn_graph(estimator: Any, model: LoggedModel, double: bool) -> bytes:
    """A scikit-learn estimator or pipeline.

    Args:
        double: Numbers as float64; else as float32, which scikit-learn's own trees compare with.

    Raises:
        NotPossibleError: A step has no conversion.
    """
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType
    from sklearn.base import is_classifier

    from mlops.serving.runtime import hist_trees
    from mlops.serving.runtime.native import needs_names

    columns = model.signature.columns
    numbers = DoubleTensorType if double else FloatTensorType
    texts = any(column.kind in _TEXT for column in columns)
    by_name = bool(columns) and (needs_names(estimator) or texts)
    if by_name:
        types = [
            (each.name, (StringTensorType if each.kind in _TEXT else numbers)([None, 1])) for each in columns
        ]
    else:
        types = [("X", numbers([None, _width(estimator, model)]))]
    hist_trees.register()
    options = {id(estimator): {"zipmap": False}} if is_classifier(estimator) else None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            graph = to_onnx(estimator, initial_types=types, options=options)
    except Exception as error:
        text = (str(error).strip().splitlines() or [""])[0][:200] or type(error).__name__
        raise NotPossibleError(f"skl2onnx: {text}") from error
    _missing_ways(graph, estimator)
    if by_name and not texts:
        _one_matrix(graph, [each.name for each in columns], double)
    found: bytes = graph.SerializeToString()
    return found


def _missing_ways(graph: Any, estimator: Any) -> None:
    """Where trees send a missing value, which skl2onnx leaves out: its graphs send it to the right."""
    from onnx import helper

    steps = getattr(estimator, "steps", None)
    last = steps[-1][1] if steps else estimator
    trees = [last] if hasattr(last, "tree_") else list(np.ravel(getattr(last, "estimators_", [])))
    found = [node for node in graph.graph.node if node.op_type.startswith("TreeEnsemble")]
    if len(found) != 1 or not all(hasattr(tree, "tree_") for tree in trees):
        return
    said = {each.name: each for each in found[0].attribute}
    places = list(zip(said["nodes_treeids"].ints, said["nodes_nodeids"].ints, strict=True))
    lefts = [tree.tree_.__getstate__()["nodes"]["missing_go_to_left"] for tree in trees]
    if any(tree >= len(lefts) or node >= len(lefts[tree]) for tree, node in places):
        return  # numbered otherwise: the comparison will tell
    ways = [int(lefts[tree][node]) for tree, node in places]
    if "nodes_missing_value_tracks_true" in said:
        found[0].attribute.remove(said["nodes_missing_value_tracks_true"])
    found[0].attribute.append(helper.make_attribute("nodes_missing_value_tracks_true", ways))


def _width(estimator: Any, model: LoggedModel) -> int:
    if model.signature.columns:
        return len(model.signature.columns)
    tensor = model.signature.tensor
    if tensor is not None and len(tensor.shape) == 2 and tensor.shape[1] > 0:
        return tensor.shape[1]
    return int(estimator.n_features_in_)


def _one_matrix(graph: Any, names: list[str], double: bool) -> None:
    """One input of all columns, split inside: a request then hands over one array instead of dozens."""
    from onnx import TensorProto, helper

    kind = TensorProto.DOUBLE if double else TensorProto.FLOAT
    inside = graph.graph
    taken = {each.name for each in inside.input} | {out for node in inside.node for out in node.output}
    if not set(names) <= {each.name for each in inside.input} or len(inside.input) != len(names):
        return  # a column that no step uses is no input
    matrix = next(name for name in ("X", "X_", "matrix__modelyard") if name not in taken)
    sizes = helper.make_tensor("sizes__modelyard", TensorProto.INT64, [len(names)], [1] * len(names))
    inside.initializer.append(sizes)
    split = helper.make_node("Split", [matrix, sizes.name], names, name="split__modelyard", axis=1)
    inside.node.insert(0, split)
    del inside.input[:]
    inside.input.append(helper.make_tensor_value_info(matrix, kind, [None, len(names)]))


def boosted_graph(booster: Any, model: LoggedModel, library: str, double: bool) -> bytes:
    """An xgboost or lightgbm model, through onnxmltools; lightgbm compares float64, xgboost float32.

    Raises:
        NotPossibleError: onnxmltools is not installed, or does not take it.
    """
    try:
        import onnxmltools
        from onnxmltools.convert.common.data_types import DoubleTensorType, FloatTensorType
    except ImportError:
        raise NotPossibleError(f"onnxmltools, which converts {library}, is not installed") from None
    width = len(model.signature.columns) or (
        model.signature.tensor.shape[-1] if model.signature.tensor is not None else 0
    )
    call = getattr(onnxmltools, f"convert_{library}")
    options = {"zipmap": False} if library == "lightgbm" else {}
    kind = DoubleTensorType if double else FloatTensorType
    names = getattr(booster, "feature_names", None)
    try:
        if library == "xgboost" and names:
            # onnxmltools takes only the names that xgboost gives itself; columns come in order anyway.
            booster.feature_names = [f"f{place}" for place in range(len(names))]
        graph = call(booster, initial_types=[("X", kind([None, width]))], **options)
    except Exception as error:
        text = (str(error).strip().splitlines() or [""])[0][:200] or type(error).__name__
        raise NotPossibleError(f"onnxmltools: {text}") from error
    finally:
        if library == "xgboost" and names:
            booster.feature_names = names
    found: bytes = graph.SerializeToString()
    return found
