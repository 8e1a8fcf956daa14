"""The catalogue, stock and orders."""
