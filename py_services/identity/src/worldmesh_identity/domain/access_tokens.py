"""Access tokens: JWTs (RFC 7519) signed with EdDSA (RFC 8037)."""

from __future__ import annotations

from datetime import datetime, timedelta

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from worldmesh_kit import new_id

from .model import Account, SigningKey

ISSUER = "worldmesh"
AUDIENCE = "worldmesh"


def sign(account: Account, session_id: str, key: SigningKey, now: datetime, life: timedelta) -> str:
    """An access token of an account, in a session."""
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": account.user_id,
        "sid": session_id,
        "name": account.username,
        "kind": account.kind.value,
        "scope": " ".join(sorted(account.scopes)),
        "iat": int(now.timestamp()),
        "exp": int((now + life).timestamp()),
        "jti": new_id("tok"),
    }
    private = Ed25519PrivateKey.from_private_bytes(key.private)
    return jwt.encode(claims, private, algorithm="EdDSA", headers={"kid": key.kid})
