"""Switching mails off from a mail: signed tokens, and what they do."""
