"""The bounds of integers."""

MAX_INTEGER = 2**63 - 1
"""The largest bigint of PostgreSQL, which bounds requests: SQL would fail on a larger integer."""
