"""Accounts: the people who can log in, and their roles."""
