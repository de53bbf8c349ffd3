"""scikit-learn's histogram boosting as ONNX, categories and missing values included.

skl2onnx writes a categorical split as ``<=`` and forgets the estimator's own encoder: the graph answers, and
answers wrongly. Here a categorical split is a chain of equality nodes which share one child, the form that
onnxruntime recognises as set membership, on the values of the column itself; no encoder is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

_ML = "ai.onnx.ml"


@dataclass
class _Nodes:
    """Attributes of a TreeEnsembleRegressor, a node an item."""

    tree: list[int] = field(default_factory=list)
    id: list[int] = field(default_factory=list)
    feature: list[int] = field(default_factory=list)
    value: list[float] = field(default_factory=list)
    mode: list[str] = field(default_factory=list)
    yes: list[int] = field(default_factory=list)
    no: list[int] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    leaf_tree: list[int] = field(default_factory=list)
    leaf_id: list[int] = field(default_factory=list)
    leaf_target: list[int] = field(default_factory=list)
    leaf_weight: list[float] = field(default_factory=list)

    def add(
        self, place: tuple[int, int], mode: str, feature: int, value: float, ways: tuple[int, int, bool]
    ) -> None:
        """One node: ``place`` is tree and id, ``ways`` the ids where true and false lead, and whether a
        missing value counts as true."""
        self.tree.append(place[0])
        self.id.append(place[1])
        self.mode.append(mode)
        self.feature.append(feature)
        self.value.append(value)
        self.yes.append(ways[0])
        self.no.append(ways[1])
        self.missing.append(int(ways[2]))


def columns_of(model: Any) -> tuple[list[int], dict[int, list[float]]]:
    """The column of X behind each feature of the trees, and the values by code of those that are categories.

    Raises:
        ValueError: Categories that are texts, or columns chosen by name.
    """
    encoder = getattr(model, "_preprocessor", None)
    if encoder is None:
        return list(range(model.n_features_in_)), {}
    mask = np.asarray(model.is_categorical_, bool)
    order = [*np.flatnonzero(mask).tolist(), *np.flatnonzero(~mask).tolist()]
    categories = {}
    for place, values in enumerate(encoder.named_transformers_["encoder"].categories_):
        if values.dtype.kind not in "fiub":
            raise ValueError("histogram boosting encodes texts itself")
        # Its encoder gives codes in this order; a missing one has none.
        categories[place] = [float(each) for each in values if each == each]
    return order, categories


def ensemble(model: Any) -> dict[str, Any]:
    """Attributes of the TreeEnsembleRegressor which sums the raw scores, one target a class."""
    order, categories = columns_of(model)
    nodes = _Nodes()
    number = 0
    for iteration in model._predictors:
        for target, predictor in enumerate(iteration):
            _tree(nodes, number, target, predictor, (order, categories))
            number += 1
    return {
        "n_targets": len(model._predictors[0]),
        "aggregate_function": "SUM",
        "post_transform": "NONE",
        "nodes_treeids": nodes.tree,
        "nodes_nodeids": nodes.id,
        "nodes_featureids": nodes.feature,
        "nodes_modes": nodes.mode,
        "nodes_truenodeids": nodes.yes,
        "nodes_falsenodeids": nodes.no,
        "nodes_missing_value_tracks_true": nodes.missing,
        "nodes_values_as_tensor": _tensor(nodes.value),
        "target_treeids": nodes.leaf_tree,
        "target_nodeids": nodes.leaf_id,
        "target_ids": nodes.leaf_target,
        "target_weights_as_tensor": _tensor(nodes.leaf_weight),
    }


def _tree(
    nodes: _Nodes,
    number: int,
    target: int,
    predictor: Any,
    columns: tuple[Sequence[int], dict[int, list[float]]],
) -> None:
    order, categories = columns
    free = len(predictor.nodes)  # ids of the further nodes of a chain
    for place, node in enumerate(predictor.nodes):
        if node["is_leaf"]:
            nodes.add((number, place), "LEAF", 0, 0.0, (0, 0, False))
            nodes.leaf_tree.append(number)
            nodes.leaf_id.append(place)
            nodes.leaf_target.append(target)
            nodes.leaf_weight.append(float(node["value"]))
            continue
        feature = int(node["feature_idx"])
        left, right, missing = int(node["left"]), int(node["right"]), bool(node["missing_go_to_left"])
        if not node["is_categorical"]:
            ways = (left, right, missing)
            nodes.add((number, place), "BRANCH_LEQ", order[feature], float(node["num_threshold"]), ways)
            continue
        bits = predictor.raw_left_cat_bitsets[node["bitset_idx"]]
        lefts = {code for code in range(len(categories[feature])) if bits[code // 32] >> (code % 32) & 1}
        # A value that training never saw goes where a missing one goes, so the other side is spelled out.
        listed = set(range(len(categories[feature]))) - lefts if missing else lefts
        yes, no = (right, left) if missing else (left, right)
        chain = [place, *range(free, free + max(len(listed) - 1, 0))]
        free += len(chain) - 1
        values = [categories[feature][code] for code in sorted(listed)] or [np.inf]
        for step, (own, value) in enumerate(zip(chain, values, strict=True)):
            further = chain[step + 1] if step + 1 < len(chain) else no
            nodes.add((number, own), "BRANCH_EQ", order[feature], value, (yes, further, False))


def within(estimator: Any) -> bool:
    """Whether an estimator, or the last step of a pipeline, is histogram boosting. Its trees compare
    float64: a graph of float32 would answer a row beside a threshold wrongly, which few rows may show."""
    steps = getattr(estimator, "steps", None)
    last = steps[-1][1] if steps else estimator
    return hasattr(last, "_predictors") and hasattr(last, "_baseline_prediction")


def register() -> None:
    """Have skl2onnx convert histogram boosting with this module, in this process."""
    from skl2onnx import update_registered_converter
    from skl2onnx.common.shape_calculator import (
        calculate_linear_classifier_output_shapes,
        calculate_linear_regressor_output_shapes,
    )
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    options = {"zipmap": [True, False, "columns"], "nocl": [True, False], "output_class_labels": [False]}
    update_registered_converter(
        HistGradientBoostingClassifier,
        "ModelyardHistClassifier",
        calculate_linear_classifier_output_shapes,
        _classifier,
        options=options,
    )
    update_registered_converter(
        HistGradientBoostingRegressor,
        "ModelyardHistRegressor",
        calculate_linear_regressor_output_shapes,
        _regressor,
    )


def _raw(scope: Any, operator: Any, container: Any) -> str:
    """Name of the raw scores, double, shape (rows, targets)."""
    from onnx import TensorProto

    model = operator.raw_operator
    wide = _node(scope, container, "Cast", [operator.inputs[0].full_name], to=TensorProto.DOUBLE)
    name = scope.get_unique_variable_name("trees")
    container.add_node(
        "TreeEnsembleRegressor",
        [wide],
        [name],
        op_domain=_ML,
        op_version=3,
        name=scope.get_unique_operator_name("Trees"),
        **ensemble(model),
    )
    summed = _node(scope, container, "Cast", [name], to=TensorProto.DOUBLE)
    base = np.asarray(model._baseline_prediction, np.float64).reshape(1, -1)
    return _node(scope, container, "Add", [summed, _constant(scope, container, base)])


def _node(scope: Any, container: Any, kind: str, inputs: list[str], out: str = "", **attributes: Any) -> str:
    name: str = out or scope.get_unique_variable_name(kind.lower())
    container.add_node(
        kind, inputs, [name], name=scope.get_unique_operator_name(kind), op_version=13, **attributes
    )
    return name


def _tensor(values: Any) -> Any:
    from onnx import numpy_helper

    made = np.asarray(values)
    return numpy_helper.from_array(made.astype(object) if made.dtype.kind == "U" else made)


def _constant(scope: Any, container: Any, values: Any) -> str:
    return _node(scope, container, "Constant", [], value=_tensor(values))


def _classifier(scope: Any, operator: Any, container: Any) -> None:
    model = operator.raw_operator
    raw = _raw(scope, operator, container)
    if model.n_trees_per_iteration_ == 1:
        second = _node(scope, container, "Sigmoid", [raw])
        one = _constant(scope, container, np.ones((1, 1)))
        first = _node(scope, container, "Sub", [one, second])
        found = _node(scope, container, "Concat", [first, second], axis=1)
    else:
        found = _node(scope, container, "Softmax", [raw], axis=1)
    best = _node(scope, container, "ArgMax", [found], axis=1, keepdims=0)
    classes = _constant(scope, container, np.asarray(model.classes_))
    _node(scope, container, "Gather", [classes, best], operator.outputs[0].full_name, axis=0)
    _typed(scope, container, found, operator.outputs[1])


def _regressor(scope: Any, operator: Any, container: Any) -> None:
    model = operator.raw_operator
    found = _raw(scope, operator, container)
    link = type(model._loss.link).__name__
    if link == "LogLink":
        found = _node(scope, container, "Exp", [found])
    elif link != "IdentityLink":
        raise ValueError(f"histogram boosting with {link}")
    _typed(scope, container, found, operator.outputs[0])


def _typed(scope: Any, container: Any, name: str, output: Any) -> None:
    """Cast to the type that the graph declares for its output."""
    from skl2onnx.common.data_types import guess_proto_type

    _node(scope, container, "Cast", [name], output.full_name, to=guess_proto_type(output.type))
