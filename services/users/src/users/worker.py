"""The worker of the users service: it relays the outbox, and consumes nothing."""

from collections.abc import Sequence

from starlette.applications import Starlette

from chassis.messaging import Subscriptions
from chassis.operations.replays import Snapshot
from chassis.process import Process, run_worker
from chassis.settings import load
from chassis.wiring import ServiceResources, ServiceSettings, open_service
from chassis.worker import create_worker as create_service_worker
from contracts.users import SessionRevoked, UserSnapshot
from users.accounts.repository import AccountRepository
from users.accounts.service import account_snapshots
from users.metadata import URGENT_TOPICS

SERVICE = "users"
SNAPSHOTS: Sequence[Snapshot[ServiceResources]] = [
    Snapshot(
        UserSnapshot,
        lambda session, _, after, limit: account_snapshots(
            AccountRepository(session), after=after, limit=limit
        ),
    )
]
SUBSCRIPTIONS: Subscriptions[ServiceResources] = Subscriptions(handled=[])


def create_worker(settings: ServiceSettings, process: Process | None = None) -> Starlette:
    """Make the worker. It needs no private key, so it reads none."""
    return create_service_worker(
        process=process or Process(name=f"{SERVICE}-worker", settings=settings),
        settings=settings,
        open_resources=lambda process: open_service(
            settings, process, service=SERVICE, sessions=SessionRevoked
        ),
        subscriptions=SUBSCRIPTIONS,
        urgent_topics=URGENT_TOPICS,
        snapshots=SNAPSHOTS,
    )


def main() -> None:
    """Relay until told to stop."""
    settings = load(ServiceSettings)
    process = Process(name=f"{SERVICE}-worker", settings=settings)
    run_worker(process, create_worker(settings, process))


if __name__ == "__main__":
    main()
