"""Transitions: how the status of an order changes, who changed it, and why."""
