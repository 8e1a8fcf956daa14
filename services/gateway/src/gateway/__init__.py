"""The API gateway: the single entry point to all services."""
