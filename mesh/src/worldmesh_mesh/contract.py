"""What the contracts say of each method, read from the descriptor set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet, MethodDescriptorProto
from worldmesh.options.v1 import options_pb2

from .catalogue import Service


class Exposure(IntEnum):
    """Who may reach a method; numbered as in the contract."""

    INTERNAL = 1
    SERVER = 2
    CLIENT = 3
    PUBLIC = 4


class Retry(IntEnum):
    """When Envoy may send a call again; numbered as in the contract."""

    NEVER = 1
    UNSENT = 2
    SAFE = 3


class RouteKey(IntEnum):
    """What Envoy hashes to choose an instance; numbered as in the contract."""

    NONE = 0
    ROOM = 1
    PRESENCE_SHARD = 2


@dataclass(frozen=True)
class Method:
    """One method of one service."""

    service: str
    """Full name of the gRPC service."""
    name: str
    exposure: Exposure
    scopes: tuple[str, ...]
    callers: tuple[str, ...]
    retry: Retry
    timeout: float
    """Seconds that one attempt may take; 0: no limit."""
    route_key: RouteKey
    streaming: bool

    @property
    def path(self) -> str:
        """Its path on the wire."""
        return f"/{self.service}/{self.name}"

    def callers_in(self, services: Iterable[Service]) -> tuple[str, ...]:
        """Services that may call it: those that the contract names, and for what clients may call those that carry
        clients' calls."""
        for_clients = self.exposure in (Exposure.CLIENT, Exposure.PUBLIC)
        carriers = {s.name for s in services if s.acts_for_clients and for_clients and not self.streaming}
        return tuple(sorted({*self.callers, *carriers}))


def load_methods(descriptors: Path) -> tuple[Method, ...]:
    """All methods that have a policy, in order of their paths."""
    return tuple(sorted(_methods(FileDescriptorSet.FromString(descriptors.read_bytes())), key=lambda m: m.path))


def _methods(files: FileDescriptorSet) -> Iterator[Method]:
    for file in files.file:
        for service in file.service:
            for method in service.method:
                if method.options.HasExtension(options_pb2.policy):
                    yield _method(f"{file.package}.{service.name}", method)


def _method(service: str, method: MethodDescriptorProto) -> Method:
    policy = method.options.Extensions[options_pb2.policy]
    return Method(
        service=service,
        name=method.name,
        exposure=Exposure(policy.exposure),
        scopes=tuple(policy.scopes),
        callers=tuple(policy.callers),
        retry=Retry(policy.retry or Retry.NEVER),
        timeout=policy.timeout.ToTimedelta().total_seconds(),
        route_key=RouteKey(policy.route_key),
        streaming=method.client_streaming or method.server_streaming,
    )
