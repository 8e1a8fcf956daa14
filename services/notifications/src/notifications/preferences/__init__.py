"""Preferences: the channels that a user has switched off for a category, and their language."""
