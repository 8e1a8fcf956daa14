"""The catalogue: the products with their prices and stock."""
