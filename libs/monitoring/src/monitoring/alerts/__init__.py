"""The alerts, by the part of the system that they watch."""

from monitoring.alert import Alert
from monitoring.alerts.channels import CHANNELS
from monitoring.alerts.consumers import CONSUMERS
from monitoring.alerts.database import DATABASE
from monitoring.alerts.gateway import GATEWAY
from monitoring.alerts.jobs import JOBS
from monitoring.alerts.kubernetes import KUBERNETES
from monitoring.alerts.outbox import OUTBOX
from monitoring.alerts.processes import PROCESSES
from monitoring.alerts.secrets import SECRETS

GROUPS: dict[str, tuple[Alert, ...]] = {
    "outbox": OUTBOX,
    "consumers": CONSUMERS,
    "jobs": JOBS,
    "database": DATABASE,
    "gateway": GATEWAY,
    "processes": PROCESSES,
    "channels": CHANNELS,
    "secrets": SECRETS,
    "kubernetes": KUBERNETES,
}
"""All alerts but those of the objectives, by the group of rules that they are in."""
