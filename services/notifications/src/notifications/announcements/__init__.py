"""Announcements: what is told to every user, stored once, and taken in when a user is there."""
