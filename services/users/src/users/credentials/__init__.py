"""Credentials of an account: which of them end when the account changes."""
