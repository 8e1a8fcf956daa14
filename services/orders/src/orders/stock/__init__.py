"""The stock of products as people change it: set, adjusted, and why."""
