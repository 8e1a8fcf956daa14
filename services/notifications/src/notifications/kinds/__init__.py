"""The kinds of notifications: which event makes which one, on which channels, with which texts."""
