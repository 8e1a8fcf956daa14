"""Accounts: who there is, and what each may do."""
