"""Adds a service to the tree: its files, and its entry in each list of services."""
