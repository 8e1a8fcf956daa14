"""Operators' commands: databases, topics, keys, migrations, dead letters, replays, seeds."""
