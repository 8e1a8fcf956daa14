"""Runs the whole system on one machine: servers, processes, their logs and their status."""
