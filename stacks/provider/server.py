"""``pulumi-resource-modelyard``: the native Pulumi provider of local resources."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import traceback
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from pulumi.provider.experimental import provider as p
from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.provider.experimental.server import ProviderServicer
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import provider_pb2_grpc

from blueprints.errors import Problem
from stacks.local.home import Home
from stacks.local.kinds import PACKAGE, token
from stacks.local.processes import end_with_parent
from stacks.provider.bucket import Bucket
from stacks.provider.file import DataFolder, File
from stacks.provider.kind import REQUIRED, Input, Kind
from stacks.provider.port import Port
from stacks.provider.postgres import PostgresCluster, PostgresDatabase
from stacks.provider.secret import Secret
from stacks.provider.service import Service
from stacks.provider.supervisor import Supervisor
from stacks.provider.values import UNKNOWN, is_known, plain, secret_keys, wrapped

KINDS: dict[str, type[Kind]] = {
    token(kind.name): kind
    for kind in (
        Bucket,
        DataFolder,
        File,
        Port,
        PostgresCluster,
        PostgresDatabase,
        Secret,
        Service,
        Supervisor,
    )
}


def _version() -> str:
    try:
        return version("modelyard")
    except PackageNotFoundError:
        return "0.0.0"


class LocalProvider(p.Provider):
    """Carries the engine's calls to the kinds; knows no kind by name."""

    def __init__(self) -> None:
        self._home: Home | None = None

    def _kind(self, urn: str) -> Kind:
        name = urn.split("::")[2].split("$")[-1]
        if name not in KINDS:
            raise Problem(f"no resource type {name}", expected=", ".join(KINDS))
        if self._home is None:
            raise Problem("the provider has no home folder", where="modelyard:home")
        return KINDS[name](self._home)

    async def get_schema(self, request: p.GetSchemaRequest) -> p.GetSchemaResponse:
        return p.GetSchemaResponse(json.dumps(schema()))

    async def check_config(self, request: p.CheckRequest) -> p.CheckResponse:
        home = plain(request.new_inputs).get("home")
        failures = []
        if home is not UNKNOWN and not Path(str(home or "")).is_absolute():
            failures.append(p.CheckFailure("home", f"expected an absolute folder, got {home!r}"))
        return p.CheckResponse(inputs=request.new_inputs, failures=failures)

    async def diff_config(self, request: p.DiffRequest) -> p.DiffResponse:
        return p.DiffResponse()

    async def configure(self, request: p.ConfigureRequest) -> p.ConfigureResponse:
        values = plain(request.args if hasattr(request, "args") else {})
        home = values.get("home")
        if isinstance(home, str):
            self._home = Home(Path(home))
        return p.ConfigureResponse(
            accept_secrets=True, supports_preview=True, accept_resources=True, accept_outputs=True
        )

    async def check(self, request: p.CheckRequest) -> p.CheckResponse:
        kind = self._kind(request.urn)
        given = plain(request.new_inputs)
        faults = kind.check(given)
        filled = kind.filled(given)
        hidden = secret_keys(request.new_inputs) | kind.secrets()
        inputs = dict(request.new_inputs) | wrapped(
            {key: value for key, value in filled.items() if key not in given}, hidden
        )
        inputs = {key: value for key, value in inputs.items() if value.value is not None}
        return p.CheckResponse(inputs=inputs, failures=[p.CheckFailure(*fault) for fault in faults])

    async def diff(self, request: p.DiffRequest) -> p.DiffResponse:
        kind = self._kind(request.urn)
        changed = kind.changed(plain(request.old_state), plain(request.new_inputs))
        replaces = [key for key in changed if key in kind.inputs and kind.inputs[key].replaces]
        return p.DiffResponse(
            changes=bool(changed), diffs=changed, replaces=replaces, delete_before_replace=True
        )

    async def create(self, request: p.CreateRequest) -> p.CreateResponse:
        kind = self._kind(request.urn)
        inputs = plain(request.properties)
        hidden = secret_keys(request.properties) | kind.secrets()
        if request.preview:
            state = _foreseen(kind, inputs)
            return p.CreateResponse(resource_id="", properties=wrapped(state, hidden))
        state = await asyncio.to_thread(kind.create, inputs)
        return p.CreateResponse(resource_id=kind.id_of(inputs), properties=wrapped(state, hidden))

    async def read(self, request: p.ReadRequest) -> p.ReadResponse:
        kind = self._kind(request.urn)
        hidden = secret_keys(request.properties) | kind.secrets()
        state = await asyncio.to_thread(kind.read, plain(request.properties))
        if state is None:
            return p.ReadResponse(resource_id="", properties={}, inputs={})
        # The inputs stay what the program last asked for; what differs shows in the state, and diff heals it.
        inputs: dict[str, PropertyValue] = dict(request.inputs) or wrapped(
            {key: state[key] for key in kind.inputs if state.get(key) is not None}, hidden
        )
        return p.ReadResponse(
            resource_id=request.resource_id, properties=wrapped(state, hidden), inputs=inputs
        )

    async def update(self, request: p.UpdateRequest) -> p.UpdateResponse:
        kind = self._kind(request.urn)
        state, inputs = plain(request.olds), plain(request.news)
        hidden = secret_keys(request.news) | kind.secrets()
        if request.preview:
            kept = {key: state[key] for key in kind.outputs if key in state}
            return p.UpdateResponse(properties=wrapped(inputs | kept | dict(kind.well), hidden))
        new = await asyncio.to_thread(kind.update, state, inputs)
        return p.UpdateResponse(properties=wrapped(new, hidden))

    async def delete(self, request: p.DeleteRequest) -> None:
        kind = self._kind(request.urn)
        await asyncio.to_thread(kind.delete, plain(request.properties))


def _foreseen(kind: Kind, inputs: dict[str, Any]) -> dict[str, Any]:
    """The state as a preview can know it: outputs are unknown, except those of a well resource."""
    assert is_known(list(inputs))
    return inputs | dict.fromkeys(kind.outputs, UNKNOWN) | dict(kind.well)


_SCHEMA_TYPES = {str: "string", int: "integer", bool: "boolean", list: "array", dict: "object"}


def schema() -> dict[str, Any]:
    """The Pulumi schema of the package, from the kinds' own declarations."""

    def described(each: Input) -> dict[str, Any]:
        shape: dict[str, Any] = {"type": _SCHEMA_TYPES[each.type], "description": each.meaning}
        if each.type is list:
            shape["items"] = {"type": "string"}
        if each.type is dict:
            shape["additionalProperties"] = {"$ref": "pulumi.json#/Any"}
        if each.type in (str, int, bool) and each.default is not None and each.default is not REQUIRED:
            shape["default"] = each.default
        if each.secret:
            shape["secret"] = True
        if each.replaces:
            shape["replaceOnChanges"] = True
        return shape

    resources = {}
    for name, kind in KINDS.items():
        inputs = {key: described(each) for key, each in kind.inputs.items()}
        outputs = {key: described(each) for key, each in kind.outputs.items()}
        required = [key for key, each in kind.inputs.items() if each.default is REQUIRED]
        resources[name] = {
            "description": (kind.__doc__ or "").strip().splitlines()[0],
            "inputProperties": inputs,
            "requiredInputs": required,
            "properties": inputs | outputs,
            "required": required + list(outputs),
        }
    home = {"type": "string", "description": "Absolute folder of the environment."}
    return {
        "name": PACKAGE,
        "version": _version(),
        "provider": {"inputProperties": {"home": home}, "requiredInputs": ["home"]},
        "resources": resources,
    }


class Servicer(ProviderServicer):
    """The SDK's servicer, except that a :class:`Problem` reaches the engine as its own words: the SDK adds a
    Python stack, which is ours to read, not the user's."""

    async def Create(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await _worded(super().Create, request, context)

    async def Update(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await _worded(super().Update, request, context)

    async def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await _worded(super().Delete, request, context)

    async def Read(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await _worded(super().Read, request, context)


async def _worded(call: Any, request: Any, context: Any) -> Any:
    try:
        return await call(request, context)
    except Exception as error:
        cause = error.__context__ or error
        if isinstance(cause, Problem):
            words = str(cause)
        elif isinstance(cause, OSError):
            words = f"{cause.strerror or cause}: {cause.filename or ''}".rstrip(": ")
        else:
            words = _internal(cause)
        await context.abort(grpc.StatusCode.UNKNOWN, words)


def _internal(error: BaseException) -> str:
    """A fault of ours: the traceback goes to a private file, one line to the engine."""
    with tempfile.NamedTemporaryFile(
        "w", prefix="modelyard-fault-", suffix=".txt", delete=False, encoding="utf-8"
    ) as file:
        file.writelines(traceback.format_exception(error))
    return str(
        Problem(
            f"internal fault ({type(error).__name__}) of the provider; it is not caused by your input",
            todo=f"report it with the file {file.name}",
        )
    )


async def _serve(arguments: list[str]) -> None:
    server = grpc.aio.server(options=_GRPC_CHANNEL_OPTIONS)
    engine = next((each for each in arguments if not each.startswith("-")), "")
    servicer = Servicer(arguments, _version(), LocalProvider(), engine_address=engine)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await server.wait_for_termination()


def main() -> None:
    """Serve the engine until it is done."""
    end_with_parent()
    try:
        asyncio.run(_serve(sys.argv[1:]))
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    main()
