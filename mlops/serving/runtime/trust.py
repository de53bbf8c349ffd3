"""Which logged models can run code of their author's when they are loaded.

A pickle runs whatever its author wrote, so it is loaded only when the spec says that whoever may register a
model is trusted like whoever may log in to the gateway's machine. A model file cannot vouch for itself: the
list of types that a skops file asks to have trusted is written by its author, and is checked here as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from blueprints.errors import Problem
from mlops.serving.runtime.mlmodel import LoggedModel

#: pyfunc's loaders of flavours that are judged by their own entry.
_JUDGED = {"sklearn", "xgboost", "lightgbm", "onnx", "catboost"}
#: Formats that hold numbers and texts only.
_DATA = {
    "xgboost": {"json", "ubj"},
    "lightgbm": {"txt", "json", "lgb"},
    "catboost": {"cbm", "json", "onnx"},
}
#: Functions that estimators keep and that do nothing but check or compute on their arguments.
_FUNCTIONS = {
    "collections.OrderedDict",
    "functools.partial",
    "sklearn.utils.validation.check_array",
    "sklearn.utils._indexing.resample",
    "sklearn.metrics._scorer._Scorer",
}
#: Packages whose classes only hold and compute; a class of theirs, not a function.
_PACKAGES = re.compile(r"(sklearn|numpy|scipy|xgboost|lightgbm)(\.\w+)*\.[A-Z]\w*")
#: Parts of a name of these that open files or call something else.
_NEVER = {"joblib", "pickle", "os", "sys", "subprocess", "importlib", "ctypes", "f2py", "testing", "io"}
_NEVER |= {"datasets", "npyio", "DataSource", "NpzFile", "LowLevelCallable", "distutils", "ctypeslib"}


def reasons(model: LoggedModel) -> tuple[str, ...]:
    """What in it can run code when it is loaded or predicts, in words; empty: data only."""
    found: list[str] = []
    for name, flavor in model.flavors.items():
        if name == "python_function":
            found += _pyfunc(flavor, set(model.flavors))
        elif name == "sklearn":
            found += _sklearn(flavor)
        elif name in _DATA:
            found += _boosted(name, flavor)
        elif name != "onnx":
            found.append(f"flavour {name}")
        if flavor.get("code"):
            found.append(f"code of its own ({flavor['code']})")
    return tuple(dict.fromkeys(found))


def _boosted(name: str, flavor: Mapping[str, Any]) -> list[str]:
    found = []
    made = str(flavor.get("model_class") or f"{name}.Booster")
    if not made.startswith(f"{name}.") or not plain(made):
        found.append(f"class {made}")  # mlflow imports and calls it
    # By the file's name: MLflow writes a serialization format beside boosters that are plain text as well.
    form = str(flavor.get("data", "")).rpartition(".")[2] or str(flavor.get("model_format", ""))
    if form == "skops":
        return found + _asked(flavor)
    if form not in _DATA[name]:
        found.append(f"{name} saved as {form or 'pickle'}")
    return found


def _pyfunc(flavor: Mapping[str, Any], flavors: set[str]) -> list[str]:
    loader = str(flavor.get("loader_module", ""))
    package, _, name = loader.rpartition(".")
    if package == "mlflow" and name in _JUDGED and name in flavors and "python_model" not in flavor:
        return []
    if "python_model" in flavor or loader == "mlflow.pyfunc.model":
        return ["a Python function of its author's (cloudpickle)"]
    return [f"loader {loader or 'unknown'}"]


def _sklearn(flavor: Mapping[str, Any]) -> list[str]:
    form = str(flavor.get("serialization_format", "pickle"))
    if form != "skops":
        return [f"scikit-learn saved as {form}"]
    return _asked(flavor)


def _asked(flavor: Mapping[str, Any]) -> list[str]:
    asked = [str(each) for each in flavor.get("skops_trusted_types") or ()]
    return [f"skops type {each}" for each in asked if not plain(each)]


#: Packages that may be installed for a model that is not trusted: what anyone publishes runs code as soon as
#: it is installed, and a model names what it likes.
_KNOWN = {
    *("mlflow", "mlflow-skinny", "numpy", "pandas", "scipy", "scikit-learn", "skops", "cloudpickle"),
    *("xgboost", "xgboost-cpu", "lightgbm", "catboost", "onnx", "onnxruntime", "skl2onnx", "pyarrow"),
    *("threadpoolctl", "packaging", "pyyaml", "cffi", "polars", "defusedxml", "requests", "psutil"),
    "joblib",
}


def foreign(requirements: Iterable[str]) -> tuple[str, ...]:
    """Requirements that only a trusted model gets installed: addresses, and packages not well known."""
    found = []
    for line in requirements:
        try:
            wanted = Requirement(line)
        except InvalidRequirement:
            found.append(f"requirement {line}")
            continue
        if wanted.url or wanted.name.lower().replace("_", "-") not in _KNOWN:
            found.append(f"requirement {line}")
    return tuple(found)


def plain(name: str) -> bool:
    """Whether a type that a skops file wants trusted only holds and computes."""
    parts = {part.lstrip("_") for part in name.split(".")}
    return name in _FUNCTIONS or (_PACKAGES.fullmatch(name) is not None and not parts & _NEVER)


def check(model: LoggedModel, trusted: bool, where: str, install: bool = False) -> tuple[str, ...]:
    """What it can run, when that is trusted.

    Args:
        model: A logged model.
        trusted: ``serving.trust_pickle`` of the spec.
        where: Name and version, for the message.
        install: Its requirements are going to be installed.

    Raises:
        Problem: It can run code and is not trusted.
    """
    found = reasons(model) + (foreign(model.requirements) if install else ())
    if found and not trusted:
        raise Problem(
            f"it can run code of its author's ({'; '.join(found[:3])}) and the spec does not trust it",
            where=where,
            expected="a model logged with skops or ONNX, or a conversion to ONNX attached to the version",
            todo="if whoever registers models is trusted: serving.trust_pickle=true, then modelyard up",
        )
    return found
