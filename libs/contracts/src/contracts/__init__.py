"""What each service announces: topics and events, one module per producing service."""
