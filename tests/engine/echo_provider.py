"""A provider that makes nothing: a resource's outputs are its inputs.

It lets the real engine preview and apply resources with real pulumi-aws tokens where there is no account:
``python -m tests.engine.echo_provider``.
"""

from __future__ import annotations

import sys

from pulumi.provider.experimental import provider as api
from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.provider.experimental.server import main


class Echo(api.Provider):
    """Checks, compares and "creates" by handing back what it was given."""

    async def configure(self, request: api.ConfigureRequest) -> api.ConfigureResponse:
        return api.ConfigureResponse(
            accept_secrets=True, supports_preview=True, accept_resources=True, accept_outputs=True
        )

    async def check_config(self, request: api.CheckRequest) -> api.CheckResponse:
        return api.CheckResponse(request.new_inputs)

    async def diff_config(self, request: api.DiffRequest) -> api.DiffResponse:
        return api.DiffResponse()

    async def check(self, request: api.CheckRequest) -> api.CheckResponse:
        return api.CheckResponse(request.new_inputs)

    async def diff(self, request: api.DiffRequest) -> api.DiffResponse:
        changed = [key for key, value in request.new_inputs.items() if request.old_state.get(key) != value]
        return api.DiffResponse(changes=bool(changed), diffs=changed)

    async def create(self, request: api.CreateRequest) -> api.CreateResponse:
        name = str(request.urn).rsplit("::", 1)[-1]
        family = request.properties.get("family", PropertyValue(name)).value
        made = f"arn:aws:ecs:us-east-1:1:task-definition/{family}:1"
        return api.CreateResponse("" if request.preview else made, request.properties)

    async def update(self, request: api.UpdateRequest) -> api.UpdateResponse:
        return api.UpdateResponse(request.news)

    async def read(self, request: api.ReadRequest) -> api.ReadResponse:
        return api.ReadResponse(request.resource_id, request.properties, request.inputs)

    async def delete(self, request: api.DeleteRequest) -> None:
        return None


if __name__ == "__main__":
    main(sys.argv[1:], "7.51.1", Echo())
