"""The users, as the events of the users service describe them."""
