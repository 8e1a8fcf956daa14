"""What the processes of notifications read from their environment."""

from pydantic import Field

from chassis.wiring import ServiceSettings


class NotificationsSettings(ServiceSettings):
    """The settings of the service; those of the feed concern its sockets."""

    feed_auth_seconds: float = Field(
        default=5, gt=0, le=60, description="Seconds that a socket has to send its token."
    )
    feed_poll_seconds: float = Field(
        default=1,
        gt=0,
        le=60,
        description="Seconds between two looks for what a lost hint told of, and at the tokens.",
    )
    feed_ping_seconds: float = Field(
        default=20, gt=0, le=300, description="Seconds between two `ping` messages on a socket."
    )
    feed_stall_seconds: float = Field(
        default=10, gt=0, le=300, description="Seconds that one message may take to a slow socket."
    )
