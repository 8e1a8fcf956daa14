"""Authentication: keys, access tokens, the current principal, passwords."""

from typing import TYPE_CHECKING

from chassis.first_use import at_first_use

if TYPE_CHECKING:
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

__getattr__ = at_first_use(
    __name__,
    {
        "ApiKeyGrant": "tokens",
        "CurrentPrincipal": "principal",
        "InsufficientScope": "principal",
        "InvalidTokenError": "compact",
        "Principal": "principal",
        "SessionGrant": "tokens",
        "TokenSigner": "tokens",
        "TokenVerifier": "tokens",
        "accept_scope": "principal",
        "require_scope": "principal",
    },
)
