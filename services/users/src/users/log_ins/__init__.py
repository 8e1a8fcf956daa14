"""Log-ins: a password opens a session, and guessing is throttled."""
