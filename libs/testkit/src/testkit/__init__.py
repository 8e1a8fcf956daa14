"""Support for tests: servers, databases, topics, tokens, clients; the plugin has the fixtures."""
