"""The WebSocket of the live feed: authentication, items, and the client's commands."""
