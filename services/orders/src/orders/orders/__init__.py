"""Orders: what customers bought, and the status of each order."""
