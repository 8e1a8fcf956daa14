"""Notifications: what each user was told of, and what they have read."""
