"""Authentication: keys, access tokens, the current principal, passwords."""

from chassis.auth.compact import InvalidTokenError
from chassis.auth.principal import (
    CurrentPrincipal,
    InsufficientScope,
    Principal,
    accept_scope,
    require_scope,
)
from chassis.auth.tokens import (
    ApiKeyGrant,
    SessionGrant,
    TokenSigner,
    TokenVerifier,
)

__all__ = [
    "ApiKeyGrant",
    "CurrentPrincipal",
    "InsufficientScope",
    "InvalidTokenError",
    "Principal",
    "SessionGrant",
    "TokenSigner",
    "TokenVerifier",
    "accept_scope",
    "require_scope",
]
