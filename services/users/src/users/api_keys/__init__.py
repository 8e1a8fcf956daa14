"""API keys: credentials of integrations, which the gateway exchanges for access tokens."""
