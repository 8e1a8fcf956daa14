"""The dashboards, each for one question that an operator has."""

from monitoring.dashboards.backbone import BACKBONE
from monitoring.dashboards.gateway import GATEWAY
from monitoring.dashboards.kafka import KAFKA
from monitoring.dashboards.kubernetes import KUBERNETES
from monitoring.dashboards.overview import OVERVIEW
from monitoring.dashboards.postgres import POSTGRES
from monitoring.dashboards.service import SERVICE

DASHBOARDS = (OVERVIEW, GATEWAY, SERVICE, BACKBONE, POSTGRES, KAFKA, KUBERNETES)
"""All dashboards."""
