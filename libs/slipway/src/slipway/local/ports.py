"""The ports of a system: free ones for a test, and those that other programs have."""

from localservers.ports import can_bind, free_port, owner
from slipway.errors import SlipwayError
from slipway.settings import PORT_SUFFIX, SECOND_SYSTEM, SlipwaySettings


def with_free_ports(settings: SlipwaySettings) -> SlipwaySettings:
    """Return the same settings with every port replaced by a free one."""
    return settings.model_copy(update={name: free_port() for name in port_names()})


def port_names() -> list[str]:
    """Return the names of all settings that are ports."""
    return [name for name in SlipwaySettings.model_fields if name.endswith(PORT_SUFFIX)]


def taken_ports(settings: SlipwaySettings, *, own_postgres: bool = False) -> dict[str, str]:
    """Return the settings whose ports other programs have, each with the program's name.

    Args:
        settings: the ports, and whether a broker of one's own makes Kafka's needless.
        own_postgres: whether a server of one's own makes Postgres' port needless.
    """
    needless = {
        "kafka_port": settings.kafka_bootstrap_servers is not None,
        "postgres_port": own_postgres,
    }
    return {
        name: owner(getattr(settings, name)) or "another program"
        for name in port_names()
        if not needless.get(name) and not can_bind(getattr(settings, name))
    }


def refuse_taken_ports(settings: SlipwaySettings, *, own_postgres: bool = False) -> None:
    """Raise SlipwayError with all ports that other programs have, before anything starts.

    A start that failed at the first of them would name one port, and the next start the next.
    """
    taken = taken_ports(settings, own_postgres=own_postgres)
    if not taken:
        return
    lines = "\n".join(
        f"  {name.upper()}={getattr(settings, name)}: {holder}" for name, holder in taken.items()
    )
    message = (
        f"Other programs have these ports:\n{lines}\nEnd them, or set other ports in .env. "
        f"{SECOND_SYSTEM} moves all ports at once, for a second system beside the first."
    )
    raise SlipwayError(message)
