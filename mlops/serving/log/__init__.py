"""The prediction log: what every request asked and got, on the environment's storage.

Tables below the data bucket, one a model: ``predictions`` (answered rows), ``shadow`` (answers of shadow
versions, which nobody received), ``failures``, ``labels`` (the truth, by prediction id), ``outcomes``
(business metrics, by prediction id and name).
"""

from mlops.serving.log.policy import Policy
from mlops.serving.log.reader import read_predictions
from mlops.serving.log.segments import model_name_fault
from mlops.serving.log.writer import Backlog, PredictionLog, row_ids

__all__ = ["Backlog", "Policy", "PredictionLog", "model_name_fault", "read_predictions", "row_ids"]
