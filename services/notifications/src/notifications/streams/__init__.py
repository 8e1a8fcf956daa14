"""The live feed as server-sent events, and the tickets with which a browser opens a stream."""
