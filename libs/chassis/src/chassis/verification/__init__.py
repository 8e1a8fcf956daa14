"""Compares what a service holds with what it publishes and consumes.

A service declares what can be compared (``declared``). Its own command line writes facts about its
rows and its topics (``reading``), with its own roles, and read only. ``judging`` joins the facts
outside the database, and names what differs.
"""
