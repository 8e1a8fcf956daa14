"""Who calls: keys, access tokens, the current principal, passwords."""

from chassis.auth.principal import CurrentPrincipal, Principal, require_scope
from chassis.auth.tokens import InvalidTokenError, TokenSigner, TokenVerifier

__all__ = [
    "CurrentPrincipal",
    "InvalidTokenError",
    "Principal",
    "TokenSigner",
    "TokenVerifier",
    "require_scope",
]
