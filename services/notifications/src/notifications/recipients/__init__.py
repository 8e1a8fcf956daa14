"""What this service knows of users, from the events of the users service."""
