"""Free ports for a system that must not collide with another one, e.g. in a test."""

from localservers.ports import free_port
from slipway.settings import SlipwaySettings

_SUFFIX = "_port"


def with_free_ports(settings: SlipwaySettings) -> SlipwaySettings:
    """Return the same settings with every port replaced by a free one."""
    names = [name for name in SlipwaySettings.model_fields if name.endswith(_SUFFIX)]
    return settings.model_copy(update={name: free_port() for name in names})
