"""TOTP: one-time codes of an authenticator app as a second factor, and recovery codes."""
