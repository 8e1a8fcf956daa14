"""Throttling: leaky buckets in PostgreSQL limit what anyone may try, in all processes together."""
