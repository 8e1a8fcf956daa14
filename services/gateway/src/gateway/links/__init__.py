"""What a route adds on the way to its service and back: representations and the cache.

Each link takes and returns the values of `gateway.exchange`. It knows no connection and waits for
nothing, so that the data path calls it between two packets.
"""
