"""The layers of an environment: the same on every target, in the order they come up."""

from __future__ import annotations

from enum import StrEnum


class Layer(StrEnum):
    """One slice of an environment; ``stacks/components/<target>/<layer>.py`` builds it."""

    ACCESS = "access"
    NETWORK = "network"
    DATABASE = "database"
    STORAGE = "storage"
    TRACKING = "tracking"
    SERVING = "serving"
    MONITORING = "monitoring"
    ORCHESTRATION = "orchestration"


#: What each layer is for, in the words the guide uses.
PURPOSE: dict[Layer, str] = {
    Layer.ACCESS: "who may do what: generated credentials and tokens",
    Layer.NETWORK: "where the parts listen and who reaches them",
    Layer.DATABASE: "the relational database behind tracking, auth and orchestration",
    Layer.STORAGE: "object storage for artifacts, data and backups",
    Layer.TRACKING: "experiment tracking server and model registry",
    Layer.SERVING: "the gateway that answers predictions and logs them",
    Layer.MONITORING: "the monitor that compares live data with the reference",
    Layer.ORCHESTRATION: "pipelines: train, gate, retrain",
}
