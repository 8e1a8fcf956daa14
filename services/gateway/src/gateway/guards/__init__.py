"""What protects a service and the gateway from each other: breaker, concurrency, retries."""
