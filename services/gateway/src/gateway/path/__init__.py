"""The HTTP data path: proxied requests are served by the connection's protocol itself."""
