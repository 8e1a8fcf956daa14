"""Webhooks: the URLs to which users have their notifications sent."""
