"""The mechanism that every service shares; it contains no business term."""
