"""A mixed load of customers and a warehouse: latency, memory over time, and profiles.

locust drives it (`deploy/load`) against a system that is started for it.
"""
