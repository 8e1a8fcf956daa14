"""Notifications and the live feed."""
