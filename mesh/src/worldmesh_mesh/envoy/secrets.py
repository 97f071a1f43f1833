"""Certificates and authorities as Envoy's secrets: what it reads again when the files are renewed. It never does so
with files that a TLS context names itself, whatever folder it is told to watch."""

from __future__ import annotations

from collections.abc import Mapping

from .basics import Json, file_source, typed

_FOLDER = "envoy/secrets"
# Whose certificate, and the file of the authorities that its peers must be signed by.
_OWNERS: Mapping[str, str] = {
    "envoy-mesh": "services-ca.pem",
    "envoy-edge": "services-ca.pem",
    "public": "ca.pem",
}


def certificate(owner: str) -> Json:
    """The part of a TLS context that says whose certificate is shown."""
    return {"tls_certificate_sds_secret_configs": [_secret(f"{owner}-certificate")]}


def authorities(owner: str, named: Json | None = None) -> Json:
    """The part of a TLS context that says who must have signed the peer, and how the peer must be named."""
    source: Json = {"validation_context_sds_secret_config": _secret(f"{owner}-authorities")}
    if named is None:
        return source
    only: Json = {"match_typed_subject_alt_names": [named]}
    return {"combined_validation_context": {"default_validation_context": only, **source}}


def _secret(name: str) -> Json:
    return {"name": name, "sds_config": {"path_config_source": {"path": f"{_FOLDER}/{name}.json"}}}


def secrets() -> Mapping[str, Json]:
    """The files that say where each secret is, by their paths in the data folder."""
    files: dict[str, Json] = {}
    for owner, authority in _OWNERS.items():
        watched = {"watched_directory": {"path": f"certs/{owner}"}}
        shown: Json = {
            "certificate_chain": file_source(f"certs/{owner}/tls.pem"),
            "private_key": file_source(f"certs/{owner}/tls.key"),
            **watched,
        }
        trusted: Json = {"trusted_ca": file_source(f"certs/{owner}/{authority}"), **watched}
        for name, what in (
            ("certificate", {"tls_certificate": shown}),
            ("authorities", {"validation_context": trusted}),
        ):
            secret = typed("extensions.transport_sockets.tls.v3.Secret", name=f"{owner}-{name}", **what)
            files[f"{_FOLDER}/{owner}-{name}.json"] = {"resources": [secret]}
    return files
