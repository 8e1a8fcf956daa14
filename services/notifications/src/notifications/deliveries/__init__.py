"""Deliveries: the requests that carry notifications to webhooks, with their attempts."""
