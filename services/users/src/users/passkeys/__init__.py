"""Passkeys: log-in with WebAuthn credentials, without a password."""
