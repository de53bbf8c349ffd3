"""What a process needs to reach an environment: variables for a child, references for a shell."""

from __future__ import annotations

from collections.abc import Mapping

from blueprints.environment import Environment

#: Variables whose value is a secret, and the key of ``modelyard outputs --show-secrets`` that prints it.
_SECRETS = {
    "MLFLOW_TRACKING_PASSWORD": "tracking.password",
    "AWS_SECRET_ACCESS_KEY": "storage.secret_key",
    "MODELYARD_SERVING_TOKEN": "serving.token",
    "MODELYARD_MONITORING_TOKEN": "monitoring.token",
}


def variables(environment: Environment, secrets: bool = True) -> dict[str, str]:
    """The environment variables that make MLflow, S3 clients and ours work, without any configuration file.

    Args:
        environment: Where to.
        secrets: With the secret ones; without, they are left out.
    """
    tracking, storage = environment.tracking, environment.storage
    found = {
        "MLFLOW_TRACKING_URI": tracking.url,
        "MLFLOW_REGISTRY_URI": tracking.url,
        "MLFLOW_TRACKING_USERNAME": tracking.username,
        "MLFLOW_TRACKING_PASSWORD": tracking.password.get_secret_value(),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MODELYARD_PROJECT": environment.project,
        "MODELYARD_ENVIRONMENT_NAME": environment.name,
        "MODELYARD_DATA_ROOT": storage.buckets.get("data", ""),
    }
    if storage.kind == "s3":
        found |= {
            "AWS_ENDPOINT_URL_S3": storage.endpoint_url,
            "MLFLOW_S3_ENDPOINT_URL": storage.endpoint_url,
            "AWS_REGION": storage.region,
            "AWS_DEFAULT_REGION": storage.region,
            "AWS_ACCESS_KEY_ID": storage.access_key,
            "AWS_SECRET_ACCESS_KEY": storage.secret_key.get_secret_value(),
        }
    if environment.serving:
        found["MODELYARD_SERVING_URL"] = environment.serving.url
        found["MODELYARD_SERVING_TOKEN"] = environment.serving.token.get_secret_value()
    if environment.monitoring:
        found["MODELYARD_MONITORING_URL"] = environment.monitoring.url
        found["MODELYARD_MONITORING_TOKEN"] = environment.monitoring.token.get_secret_value()
    return {name: value for name, value in found.items() if value and (secrets or name not in _SECRETS)}


def references(environment: Environment) -> Mapping[str, str]:
    """For each secret variable of :func:`variables`, the key that ``modelyard outputs --show-secrets`` takes:
    a shell fetches the value itself when it needs it, and no file or screen holds it."""
    known = variables(environment)
    return {name: key for name, key in _SECRETS.items() if name in known}
