"""Events out: published if and only if their transaction committed, in the order of their key."""
