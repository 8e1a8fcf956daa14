"""The live feed: a gapless sequence of items for each user, and the sockets that follow it."""
