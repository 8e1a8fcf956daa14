"""The mechanism that every service shares; no business word stands here."""
