"""Password resets: a mailed token lets a user choose a new password."""
