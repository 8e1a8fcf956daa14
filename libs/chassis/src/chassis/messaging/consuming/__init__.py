"""Events in: each message takes effect once, in the order of its key."""
