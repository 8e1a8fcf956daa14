"""What orders knows of its customers, learnt from the events of the users service."""
