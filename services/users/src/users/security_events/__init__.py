"""Security events: what the owner of an account must be told of."""
