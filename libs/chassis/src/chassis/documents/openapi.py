"""A service's OpenAPI document; its API process is created, but opens nothing."""

import json
from typing import Any

from chassis.api import create_api
from chassis.service import Service


def openapi_text(service: Service[Any]) -> str:
    """Return the OpenAPI document of a service as JSON."""
    app = create_api(service, service.api.settings.model_construct())
    return json.dumps(app.openapi(), indent=2, ensure_ascii=False) + "\n"
