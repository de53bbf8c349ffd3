"""``pulumi-analyzer-policy-modelyard``: the pack, served to the engine in Pulumi's own protocol.

The engine starts it in the pack's folder with its own address, once for an operation, and ends it. For every
resource it waits for two answers, so this is on the path of each preview: a resource is turned into plain
data only for the rules that look at its type.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable, Sequence
from concurrent import futures
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.empty_pb2 import Empty  # type: ignore[import-untyped]

from stacks.local.processes import end_with_parent
from stacks.policy.pack import NAME, Policy, configured
from stacks.policy.rule import Resource, Setting, Severity
from stacks.policy.values import plain

if TYPE_CHECKING:
    from pulumi.runtime.proto import analyzer_pb2 as pb
    from pulumi.runtime.proto import analyzer_pb2_grpc as rpc
    from pulumi.runtime.proto import plugin_pb2
else:

    def _protobufs(*names: str) -> list[ModuleType]:
        """Modules of ``pulumi.runtime.proto``, without the whole SDK that importing them by that name runs:
        0.1 s of CPU before the engine may begin."""
        package = ModuleType(f"{__name__}.proto")
        package.__path__ = [str(Path(find_spec("pulumi").origin).parent / "runtime" / "proto")]
        sys.modules[package.__name__] = package
        return [importlib.import_module(f"{package.__name__}.{name}") for name in names]

    pb, rpc, plugin_pb2 = _protobufs("analyzer_pb2", "analyzer_pb2_grpc", "plugin_pb2")

#: As large as the engine's own limit: a whole stack comes in one message.
_OPTIONS = [("grpc.max_receive_message_length", 400 * 1024 * 1024)]
_LEVELS = {Severity.ADVISORY: pb.ADVISORY, Severity.MANDATORY: pb.MANDATORY}
#: PulumiPolicy.yaml has the version that counts.
_VERSION = "0.1.0"


def main() -> None:
    """Serve the pack until the engine is done with us."""
    end_with_parent()
    setting, policies = configured(os.environ.get("PULUMI_CONFIG", ""))
    # The engine asks one question at a time.
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1), options=_OPTIONS)
    rpc.add_AnalyzerServicer_to_server(Analyzer(setting, policies), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    server.wait_for_termination()


class Analyzer(rpc.AnalyzerServicer):
    """Answers the engine.

    Args:
        setting: Of the environment.
        policies: What to judge by.
    """

    def __init__(self, setting: Setting, policies: Sequence[Policy]) -> None:
        self._setting = setting
        self._policies = policies
        self._levels = {each.name: _LEVELS[each.severity] for each in policies}
        self._of_type: dict[str, list[Policy]] = {}

    def Analyze(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Judge one resource by the rules for its type."""
        if request.type not in self._of_type:
            self._of_type[request.type] = [
                each for each in self._policies if not each.of_stack and request.type in each.rule.types
            ]
        found = self._of_type[request.type]
        return self._judged(found, [_resource(request)]) if found else pb.AnalyzeResponse()

    def AnalyzeStack(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Judge how all resources go together."""
        resources = [_resource(each, frozenset(each.dependencies)) for each in request.resources]
        return self._judged((each for each in self._policies if each.of_stack), resources)

    def Remediate(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Change nothing: a rule says what to do and leaves it to people."""
        return pb.RemediateResponse()

    def GetAnalyzerInfo(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The policies there are."""
        return pb.AnalyzerInfo(
            name=NAME,
            version=_VERSION,
            supportsConfig=True,
            policies=[
                pb.PolicyInfo(
                    name=each.name,
                    description=each.rule.what,
                    enforcementLevel=self._levels[each.name],
                    policy_type=pb.POLICY_TYPE_STACK if each.of_stack else pb.POLICY_TYPE_RESOURCE,
                )
                for each in self._policies
            ],
        )

    def GetPluginInfo(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Our version."""
        return plugin_pb2.PluginInfo(version=_VERSION)

    def Handshake(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The engine says hello."""
        return pb.AnalyzerHandshakeResponse()

    def ConfigureStack(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Which stack it is; its configuration has come with the environment already."""
        return pb.AnalyzerStackConfigureResponse()

    def Cancel(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The engine ends us right after."""
        return Empty()

    def Configure(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Take the levels that ``--policy-pack-config`` gives policies."""
        self._levels |= {name: each.enforcementLevel for name, each in request.policyConfig.items()}
        return Empty()

    def _judged(self, policies: Iterable[Policy], resources: Sequence[Resource]) -> Any:
        response = pb.AnalyzeResponse()
        for policy in policies:
            level = self._levels[policy.name]
            if level == pb.DISABLED:
                continue
            for urn, message in policy.findings(resources, self._setting):
                response.diagnostics.add(
                    policyName=policy.name,
                    policyPackName=NAME,
                    policyPackVersion=_VERSION,
                    description=policy.rule.what,
                    message=f"{policy.rule.what}\n{message}",
                    # There is no remedy that a rule would apply.
                    enforcementLevel=pb.MANDATORY if level == pb.REMEDIATE else level,
                    urn=urn,
                )
        return response


def _resource(sent: Any, depends: frozenset[str] = frozenset()) -> Resource:
    return Resource(sent.type, sent.name, plain(sent.properties), sent.urn, depends)
