"""The catalogue: what can be bought, at which price, and how many are left."""
