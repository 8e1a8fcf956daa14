"""Log-in sessions: refresh tokens, and the keys that verify access tokens."""
