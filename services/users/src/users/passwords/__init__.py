"""Passwords: a user changes their own."""
