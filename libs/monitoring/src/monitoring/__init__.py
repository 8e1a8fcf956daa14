"""What operators watch: metrics, objectives, alerts and dashboards, declared once as data.

``python -m monitoring`` writes the Prometheus rules, their tests, the Grafana dashboards and the
pages of the documentation from these declarations. No running process imports this package.
"""
