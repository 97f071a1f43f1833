"""The policy of each method, read from its contract."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor
from worldmesh.options.v1 import options_pb2

from ._caller import Caller
from ._errors import DomainError, ErrorReason

DEFAULT_TIMEOUT = timedelta(seconds=10)
OWN_PACKAGES = "/worldmesh."
_OPEN = (options_pb2.EXPOSURE_INTERNAL, options_pb2.EXPOSURE_PUBLIC)


@dataclass(frozen=True, slots=True)
class Policy:
    """What the contract says of a method."""

    exposure: options_pb2.Exposure.ValueType
    scopes: tuple[str, ...]
    callers: frozenset[str]
    """Services that may call it for themselves."""
    timeout: float
    """Seconds that one attempt may take."""

    def authorize(self, caller: Caller) -> None:
        """Check what the token must hold; raises DomainError. Which service may call, Envoy has checked."""
        if self.exposure in _OPEN:
            return
        if caller.user is None:
            if caller.service in self.callers:
                return  # a service that calls for itself
            raise DomainError(
                grpc.StatusCode.UNAUTHENTICATED,
                ErrorReason.ERROR_REASON_TOKEN_MISSING,
                "the method needs an access token",
            )
        for scope in self.scopes:
            if scope not in caller.user.scopes:
                raise DomainError(
                    grpc.StatusCode.PERMISSION_DENIED,
                    ErrorReason.ERROR_REASON_SCOPE_MISSING,
                    "the access token lacks a scope",
                    {"scope": scope},
                )


def policy_of(full_method: str) -> Policy | None:
    """The policy of a method, by its name as gRPC writes it; None if it is not ours (health, reflection)."""
    if not full_method.startswith(OWN_PACKAGES):
        return None
    service, _, name = full_method[1:].partition("/")
    method: MethodDescriptor = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
    policy = method.GetOptions().Extensions[options_pb2.policy]
    if policy.exposure == options_pb2.EXPOSURE_UNSPECIFIED:
        raise ValueError(f"{full_method} has no policy in its contract")
    timeout = policy.timeout.ToTimedelta() or DEFAULT_TIMEOUT
    return Policy(policy.exposure, tuple(policy.scopes), frozenset(policy.callers), timeout.total_seconds())
