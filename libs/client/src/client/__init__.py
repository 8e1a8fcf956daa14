"""A small typed client of the public API, for Python callers."""
