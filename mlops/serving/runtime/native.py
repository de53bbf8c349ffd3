"""A version with the flavour it was logged with, in a thread, micro-batched."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mlops.serving.rows import Batch, ModelFaultError, Outputs
from mlops.serving.runtime.batching import Batcher, outputs_of
from mlops.serving.runtime.mlmodel import LoggedModel

#: Predicts a batch in the calling thread; raises whatever the model raises.
Predict = Callable[[Batch], Any]


def predictor(model: LoggedModel) -> Predict:
    """The model, loaded, as a function. Runs code of the model's author unless ``trust`` says it cannot.

    scikit-learn models are called directly: pyfunc builds a DataFrame and checks it against the signature
    that the gateway has already checked, which costs more than a small model.
    """
    flavor = model.flavors.get("sklearn")
    loader = str(model.flavors.get("python_function", {}).get("loader_module", ""))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if flavor is not None and loader == "mlflow.sklearn":
            import mlflow.sklearn

            return sklearn_predict(mlflow.sklearn.load_model(str(model.folder)), model)
        import mlflow.pyfunc

        loaded = mlflow.pyfunc.load_model(str(model.folder))

    def predict(batch: Batch) -> Any:
        return loaded.predict(batch.matrix if _plain(model) else batch.frame())

    return predict


def _plain(model: LoggedModel) -> bool:
    """Whether the model takes an array: its input is one tensor."""
    return model.signature.tensor is not None


def sklearn_predict(estimator: Any, model: LoggedModel) -> Predict:
    """What pyfunc would call of a scikit-learn estimator, without pyfunc."""
    one_thread(estimator)
    call = getattr(estimator, model.predict_fn)
    by_name = needs_names(estimator)
    if not by_name:
        # The columns come in the signature's order; it would warn at each request that they have no names.
        for each in [estimator, *(step for _, step in getattr(estimator, "steps", ()))]:
            getattr(each, "__dict__", {}).pop("feature_names_in_", None)

    def predict(batch: Batch) -> Any:
        if batch.matrix is not None and not by_name:
            return call(batch.matrix)
        return call(batch.frame())

    return predict


def one_thread(estimator: Any) -> None:
    """No joblib within a prediction: handing one row to threads costs more than a forest takes for it."""
    parameters = getattr(estimator, "get_params", dict)(deep=True)
    jobs = {name: 1 for name in parameters if name.rpartition("__")[2] == "n_jobs"}
    if jobs:
        estimator.set_params(**jobs)
    for each in getattr(estimator, "estimators_", ()):
        if hasattr(each, "n_jobs"):
            each.n_jobs = 1


def needs_names(estimator: Any) -> bool:
    """Whether a part chooses columns by name, or might: an array has none."""
    steps = getattr(estimator, "steps", None)
    if steps is not None:
        return any(needs_names(step) for _, step in steps)
    if getattr(estimator, "transformers_", None) is not None or hasattr(estimator, "transformer_list"):
        return True
    known = type(estimator).__module__.startswith("sklearn.") or isinstance(estimator, str)
    return not known and estimator is not None


class NativeRuntime:
    """A version served by a predict function in one thread of its own."""

    kind = "native"
    processes, memory = 0, None

    def __init__(
        self,
        model: str,
        version: str,
        run_id: str,
        logged: LoggedModel,
        predict: Predict,
        max_rows: int = 512,
    ) -> None:
        self.model, self.version, self.run_id = model, version, run_id
        self.signature = logged.signature
        self._predict = predict
        # One thread: a model need not stand two calls at a time.
        self._pool = ThreadPoolExecutor(1, f"native-{model}")
        self.batcher = Batcher(self._run, max_rows, what=model)

    async def predict(self, batch: Batch) -> Outputs:
        """See :class:`~mlops.serving.rows.Runtime`."""
        return await self.batcher.predict(batch)

    async def _run(self, batch: Batch) -> Outputs:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self.predict_now, batch)

    def predict_now(self, batch: Batch) -> Outputs:
        """Predict in this thread.

        Raises:
            ModelFaultError: The model failed.
        """
        try:
            outputs = outputs_of(self._predict(batch))
        except ModelFaultError:
            raise
        except Exception as error:
            text = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
            raise ModelFaultError(f"the model refuses the rows: {text}") from error
        if len(outputs.values) != batch.rows:
            raise ModelFaultError(f"the model answered {len(outputs.values)} rows to {batch.rows}")
        return outputs

    def close(self) -> None:
        """See :class:`~mlops.serving.rows.Runtime`."""
        self.batcher.close()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._pool.shutdown(wait=False)
            return
        loop.create_task(self._end())  # noqa: RUF006 - the batcher's own task keeps the loop's hold on it

    async def _end(self) -> None:
        await self.batcher.closed()
        self._pool.shutdown(wait=False)
