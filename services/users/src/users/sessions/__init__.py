"""Sessions: log-in, refresh tokens, and the keys that access tokens are verified with."""
