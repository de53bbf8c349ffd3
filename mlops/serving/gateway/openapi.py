"""The gateway's interface as an OpenAPI 3.1 document, with the schemas of the models that it serves now."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from mlops.serving.gateway.answers import metadata
from mlops.serving.gateway.bodies import DATATYPES
from mlops.serving.gateway.limits import Limits
from mlops.serving.gateway.ports import Choice
from mlops.serving.signature import Column, Signature

Schema = dict[str, Any]
_TYPES: dict[str, Schema] = {
    "double": {"type": ["number", "null"]},
    "float": {"type": ["number", "null"], "minimum": -3.4e38, "maximum": 3.4e38},
    "long": {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    "integer": {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
    "boolean": {"type": "boolean"},
    "string": {"type": "string"},
    "datetime": {"type": "string", "format": "date-time"},
    "binary": {"type": "string", "contentEncoding": "base64"},
}
_ERRORS = {
    400: "The body is malformed, or its rows do not keep the signature; the first wrong value is named.",
    401: "No token, or none that is known.",
    403: "The token may not do this.",
    404: "No such model or version is served.",
    405: "The path takes other methods.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    415: "The body is in no form that is taken.",
    422: "The model refuses the rows.",
    429: "The caller's rate is used up.",
    500: "A fault of the gateway; its log has the request's id.",
    503: "Not now: overload, the deadline, the log's disk, or the model is not ready.",
}


def document(arms: Sequence[Choice], limits: Limits, version: str) -> Schema:
    """The document for the models of ``arms``."""
    models: dict[str, list[Choice]] = {}
    for arm in arms:
        models.setdefault(arm.runtime.model, []).append(arm)
    paths: Schema = {
        "/v2": {"get": _get("The server and its extensions", {"type": "object"})},
        "/v2/health/live": {
            "get": _get("The process answers", _object(live={"type": "boolean"}), public=True)
        },
        "/v2/health/ready": {"get": _ready()},
        "/v2/labels": {"post": _labels(list(models), limits)},
        "/metrics": {"get": _metrics()},
        "/openapi.json": {"get": _get("This document", {"type": "object"})},
    }
    for model, found in models.items():
        paths.update(_model(model, found, limits))
    return {
        "openapi": "3.1.0",
        "info": {"title": "Modelyard gateway", "version": version},
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "Error": _object(error={"type": "string"}),
                "Inference": _inference_answer(),
                "Invocation": _object(
                    predictions={"type": "array"},
                    model_version={"type": "string"},
                    ids={"type": "array", "items": {"type": "string"}},
                ),
            },
        },
    }


def _model(model: str, arms: list[Choice], limits: Limits) -> Schema:
    name, signature = quote(model, safe=""), arms[0].runtime.signature
    details = _get(f"Inputs and versions of {model}", {"type": "object", "example": metadata(arms)})
    ready = _get(f"{model} is ready", {"type": "object"})
    infer = _post(
        f"Predict with {model}, Open Inference Protocol", _inference(signature, limits), "Inference"
    )
    found: Schema = {
        f"/v2/models/{name}": {"get": details},
        f"/v2/models/{name}/ready": {"get": ready},
        f"/v2/models/{name}/infer": {"post": infer},
        f"/models/{name}/invocations": {
            "post": _post(
                f"Predict with {model}, MLflow's forms", _invocation(signature, limits), "Invocation"
            )
        },
    }
    for version in dict.fromkeys(arm.runtime.version for arm in arms):
        path = f"/v2/models/{name}/versions/{quote(version, safe='')}"
        own = [arm for arm in arms if arm.runtime.version == version]
        asked = _inference(own[0].runtime.signature, limits)
        found[f"{path}/infer"] = {
            "post": _post(f"Predict with version {version} of {model}", asked, "Inference")
        }
        found[path] = {"get": copy.deepcopy(details)}
        found[f"{path}/ready"] = {"get": copy.deepcopy(ready)}
    return found


def _column(column: Column) -> Schema:
    schema = _TYPES.get(column.kind, {})
    kind = schema.get("type")
    if not column.required and isinstance(kind, str):
        return {**schema, "type": [kind, "null"]}
    return dict(schema)


def _inference(signature: Signature, limits: Limits) -> Schema:
    """A request of the Open Inference Protocol: tensors by name, or one by position."""
    tensor = _object(
        required=("name", "shape", "datatype", "data"),
        name={"type": "string"},
        shape={"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1, "maxItems": 8},
        datatype={"enum": list(DATATYPES)},
        data={"type": "array"},
    )
    inputs: Schema = {"type": "array", "minItems": 1, "items": tensor}
    if signature.columns:
        names = ", ".join(f"{each.name} ({each.kind})" for each in signature.columns[:50])
        inputs["description"] = (
            f"One tensor a column, or one of shape [rows, columns], in this order: {names}"
        )
    return _object(
        required=("inputs",),
        id={"type": "string", "maxLength": 128},
        inputs=inputs,
        outputs={"type": "array", "items": {"type": "object"}},
        parameters=_parameters(limits),
    )


def _invocation(signature: Signature, limits: Limits) -> Schema:
    """MLflow's forms."""
    rows: Schema = {"type": "array", "minItems": 1, "maxItems": limits.rows}
    records: Schema = {**rows, "items": {"type": "object"}}
    columns: Schema = {"type": "object"}
    if signature.columns:
        values = {each.name: _column(each) for each in signature.columns}
        needed = [each.name for each in signature.columns if each.required]
        records["items"] = {"type": "object", "properties": values, "required": needed}
        lists = {name: {**rows, "items": each} for name, each in values.items()}
        columns = {"type": "object", "properties": lists, "required": needed}
    split = _object(required=("columns", "data"), columns={"type": "array"}, data=rows)
    parameters = _parameters(limits)
    forms = {"dataframe_records": records, "dataframe_split": split, "instances": rows}
    either = [
        _object(required=(name,), parameters=parameters, **{name: each}) for name, each in forms.items()
    ]
    either.append(_object(required=("inputs",), parameters=parameters, inputs={"anyOf": [columns, rows]}))
    return {"anyOf": either}


def _parameters(limits: Limits) -> Schema:
    return _object(
        required=(),
        ids={
            "type": "array",
            "maxItems": limits.rows,
            "items": {"type": ["string", "integer"]},
            "description": "An id a row, by which labels join later",
        },
        event_times={
            "type": "array",
            "maxItems": limits.rows,
            "items": {"type": "string", "format": "date-time"},
        },
    )


def _inference_answer() -> Schema:
    output = _object(
        name={"type": "string"},
        shape={"type": "array", "items": {"type": "integer"}},
        datatype={"enum": list(DATATYPES)},
        data={"type": "array"},
    )
    return _object(
        model_name={"type": "string"},
        model_version={"type": "string"},
        id={"type": "string"},
        outputs={"type": "array", "items": output},
        parameters=_object(ids={"type": "array", "items": {"type": "string"}}),
    )


def _labels(models: list[str], limits: Limits) -> Schema:
    list_ = {"type": "array", "minItems": 1, "maxItems": limits.rows}
    body = _object(
        required=("model", "ids", "labels"),
        model={"type": "string", **({"examples": models} if models else {})},
        ids={**list_, "items": {"type": ["string", "integer"]}},
        labels={**list_, "items": {"type": ["number", "boolean"]}},
        times={"type": "array", "items": {"type": ["string", "null"], "format": "date-time"}},
    )
    return {
        "summary": "True labels by prediction id, whenever they are known",
        "requestBody": _json(body, True),
        "responses": {"200": _told(_object(accepted={"type": "integer"})), **_errors(400, *_BODY)},
    }


_BODY = (401, 403, 405, 408, 413, 415, 429, 500, 503)


def _post(summary: str, body: Schema, answer: str) -> Schema:
    headers = [
        ("x-request-id", "Id of the request; a retry carries the same", {"type": "string"}),
        ("x-modelyard-key", "Callers with one key get one arm", {"type": "string"}),
        ("traceparent", "W3C trace context", {"type": "string"}),
    ]
    return {
        "summary": summary,
        "parameters": [
            {"name": name, "in": "header", "description": text, "schema": schema, "required": False}
            for name, text, schema in headers
        ],
        "requestBody": _json(body, True),
        "responses": {
            "200": _told({"$ref": f"#/components/schemas/{answer}"}),
            **_errors(400, 404, 422, *_BODY),
        },
    }


def _get(summary: str, answer: Schema, public: bool = False) -> Schema:
    found: Schema = {
        "summary": summary,
        "responses": {"200": _told(answer), **_errors(401, 403, 404, 405, 429, 500, 503)},
    }
    return {**found, "security": []} if public else found


def _ready() -> Schema:
    answer = _object(ready={"type": "boolean"}, reason={"type": "string"})
    found = _get("Something is served", answer, public=True)
    found["responses"]["503"] = _told(answer, "Nothing is served yet; reason says why")
    return found


def _metrics() -> Schema:
    found = _get("Counts as OpenMetrics text", {})
    found["responses"]["200"] = {
        "description": "OpenMetrics 1.0",
        "content": {"application/openmetrics-text": {"schema": {"type": "string"}}},
    }
    return found


def _errors(*statuses: int) -> Schema:
    schema = {"$ref": "#/components/schemas/Error"}
    return {str(status): _told(schema, _ERRORS[status]) for status in sorted(statuses)}


def _told(schema: Schema, text: str = "Done") -> Schema:
    return {"description": text, **_json(schema)}


def _json(schema: Schema, required: bool = False) -> Schema:
    found: Schema = {"content": {"application/json": {"schema": schema}}}
    return {**found, "required": True} if required else found


def _object(required: Sequence[str] | None = None, **properties: Schema) -> Schema:
    """An object with these properties, all required unless others are named."""
    needed = list(properties if required is None else required)
    return {"type": "object", "properties": properties, **({"required": needed} if needed else {})}
