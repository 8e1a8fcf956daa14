"""The HTTP servers of users that receive webhooks: which may be called, and how."""
