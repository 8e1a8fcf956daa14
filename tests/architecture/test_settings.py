"""What holds of the settings of every process."""

import math

import pytest
from annotated_types import Le

from chassis.service import installed_services
from chassis.settings import Settings
from gateway.settings import GatewaySettings
from slipway.settings import SlipwaySettings, TopicSettings

CLASSES: set[type[Settings]] = {
    GatewaySettings,
    SlipwaySettings,
    TopicSettings,
    *(service.api.settings for service in installed_services()),
    *(service.worker.settings for service in installed_services()),
}
TIMES = [
    pytest.param(field.metadata, id=f"{kind.__name__}.{name}")
    for kind in sorted(CLASSES, key=lambda kind: kind.__name__)
    for name, field in kind.model_fields.items()
    if field.annotation is float
]


@pytest.mark.parametrize("bounds", TIMES)
def test_a_number_has_an_upper_bound_as_no_timer_can_wait_for_infinity(bounds: list[object]):
    highest = [float(str(bound.le)) for bound in bounds if isinstance(bound, Le)]
    assert highest
    assert math.isfinite(min(highest))
