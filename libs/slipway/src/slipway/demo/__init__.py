"""The demo: one order followed from the request to the push, and until it is shipped."""
