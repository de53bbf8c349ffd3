"""What can run code is not loaded unless the spec trusts it; what cannot needs no trust."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow.pyfunc.model import PythonModel
from sklearn.linear_model import LogisticRegression

from blueprints.errors import Problem
from blueprints.spec import EnvironmentSpec
from mlops.serving.runtime import mlmodel, trust
from mlops.serving.runtime.load import Policy, load
from mlops.serving.signature import Signature
from tests.mlops.serving.runtime_models import cached, numbers, save_function, saved


class Plain(PythonModel):
    """``x``."""

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        return model_input["x"]


def _logged(**flavors: Any) -> mlmodel.LoggedModel:
    return mlmodel.LoggedModel(Path(), flavors, Signature(), "predict", ())


def test_the_default_trusts_nothing() -> None:
    assert EnvironmentSpec().serving.trust_pickle is False
    assert Policy().trust_pickle is False


async def test_a_function_is_refused_and_loaded_when_trusted(tmp_path: Path) -> None:
    folder = save_function(Plain(), tmp_path / "model")
    _, entry = cached(folder, tmp_path / "cache")
    with pytest.raises(Problem) as caught:
        await load(entry, Policy())
    assert (
        "can run code of its author's (a Python function of its author's (cloudpickle))" in caught.value.what
    )
    assert "serving.trust_pickle=true" in caught.value.todo
    loaded = await load(entry, Policy(trust_pickle=True))
    assert loaded.facts.trusted == ("a Python function of its author's (cloudpickle)",)
    # Code of its own: it may leak or end its process, which is not the gateway's therefore.
    assert loaded.facts.kind == "isolated"
    loaded.runtime.close()
    shared = await load(entry, Policy(trust_pickle=True, isolation="never"))
    assert shared.facts.kind == "native"
    shared.runtime.close()


async def test_a_pickled_estimator_is_refused_unless_a_conversion_is_attached(tmp_path: Path) -> None:
    frame = numbers(100)
    model = LogisticRegression().fit(frame, (frame["f0"] > 0).astype(int))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.sklearn.save_model(
            model,
            str(tmp_path / "model"),
            signature=mlflow.models.infer_signature(frame, model.predict(frame)),
            input_example=frame.head(2),
            serialization_format="pickle",
            pip_requirements=["mlflow", "scikit-learn"],
        )
    cache, entry = cached(tmp_path / "model", tmp_path / "cache")
    with pytest.raises(Problem, match="scikit-learn saved as pickle"):
        await load(entry, Policy(), cache)
    from mlops.serving.runtime.convert import convert

    made = convert(entry.path)
    assert made.ok, made.reason
    loaded = await load(cache.keep(entry, made.graph, made.to_json()), Policy(), cache)
    assert (loaded.facts.kind, loaded.facts.trusted) == ("onnx", ())


def test_skops_with_types_of_libraries_needs_no_trust() -> None:
    for name in ("lr", "flights", "forest"):
        assert trust.reasons(mlmodel.read(saved(name))) == ()


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "posix.system",
        "builtins.eval",
        "subprocess.Popen",
        "sklearn.utils._joblib.Parallel",
        "numpy.f2py.Compiler",
        "numpy.load",
        "sklearn.datasets._base.Bunch",
        "scipy.LowLevelCallable",
        "sklearn.foo.os.Popen",
        "sklearnx.Evil",
        "sklearn.Evil\nos.system",
        "__main__.Mine",
    ],
)
def test_a_skops_file_cannot_vouch_for_its_own_types(name: str) -> None:
    flavor = {"serialization_format": "skops", "skops_trusted_types": [name]}
    pyfunc = {"loader_module": "mlflow.sklearn"}
    assert trust.reasons(_logged(sklearn=flavor, python_function=pyfunc)) == (f"skops type {name}",)


def test_flavours() -> None:
    def of(**flavors: Any) -> tuple[str, ...]:
        return trust.reasons(_logged(**flavors))

    assert of(onnx={"data": "model.onnx"}, python_function={"loader_module": "mlflow.onnx"}) == ()
    assert of(xgboost={"model_format": "ubj"}, python_function={"loader_module": "mlflow.xgboost"}) == ()
    assert of(lightgbm={"data": "model.txt"}, python_function={"loader_module": "mlflow.lightgbm"}) == ()
    text = {"data": "model.lgb", "serialization_format": "skops", "skops_trusted_types": ["os.system"]}
    assert of(lightgbm=text) == ()
    skops = {"data": "model.skops", "skops_trusted_types": ["lightgbm.basic.Booster", "os.system"]}
    assert of(lightgbm=skops) == ("skops type os.system",)
    assert of(xgboost={"data": "model.ubj", "model_class": "os.abort"}) == ("class os.abort",)
    assert of(xgboost={"data": "model.ubj", "model_class": "xgboost.sklearn.XGBClassifier"}) == ()
    assert of(xgboost={"model_format": "pkl"}) == ("xgboost saved as pkl",)
    assert of(lightgbm={"data": "model.pkl"}) == ("lightgbm saved as pkl",)
    assert of(sklearn={}) == ("scikit-learn saved as pickle",)
    assert of(pytorch={"model_data": "data"}) == ("flavour pytorch",)
    assert of(onnx={"code": "code"}) == ("code of its own (code)",)
    # A loader of its author's beside a flavour that is data, and one without its flavour.
    assert of(onnx={}, python_function={"loader_module": "my.loader"}) == ("loader my.loader",)
    assert of(python_function={"loader_module": "mlflow.sklearn"}) == ("loader mlflow.sklearn",)
    assert of(python_function={"loader_module": "mlflow.onnx", "python_model": "x.pkl"}, onnx={}) != ()


async def test_what_is_not_trusted_chooses_no_package(tmp_path: Path) -> None:
    """Installing a package that anyone may publish runs its code; a model names its requirements itself."""
    assert trust.foreign(["mlflow", "scikit-learn==1.5.2", "xgboost<3"]) == ()
    lines = ["evil==1", "numpy @ https://example.org/numpy.whl", "--index-url x"]
    assert trust.foreign(lines) == tuple(f"requirement {line}" for line in lines)
    folder = tmp_path / "model"
    shutil.copytree(saved("lr"), folder)
    with (folder / "requirements.txt").open("a") as file:
        file.write("\nevil==1\n")
    _, entry = cached(folder, tmp_path / "cache")
    with pytest.raises(Problem, match="requirement evil==1"):
        await load(entry, Policy(environments=tmp_path / "environments"))
    assert not (tmp_path / "environments").exists()
