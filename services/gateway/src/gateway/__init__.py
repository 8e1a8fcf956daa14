"""The API gateway: one door to all services."""
