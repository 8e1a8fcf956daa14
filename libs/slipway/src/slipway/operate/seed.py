"""Creates demo accounts and a demo catalogue through the public API; keeps what exists."""

import asyncio
from typing import Final

from chassis.settings import SAMPLE_SECRET
from client import Money, NewProduct, ProblemError, SlipwayClient, User
from slipway.console import Reporter
from slipway.refusals import refusals_of
from slipway.settings import SeedSettings

DEMO_PASSWORD: Final = SAMPLE_SECRET  # printed on purpose; production rejects it
SUPPORT: Final = "support@example.com"
CUSTOMER: Final = "customer@example.com"
_STOCK: Final = 1000
_UNAUTHORIZED: Final = 401
_CONFLICT: Final = 409

_CATALOGUE: Final = (
    ("ROPE-MANILA-20", "Manila rope, 20 m", "Three strands, 14 mm, for mooring.", 3490),
    ("ANCHOR-CQR-10", "Plough anchor, 10 kg", "Galvanised; holds in sand and mud.", 12900),
    ("LANTERN-BRASS", "Brass lantern", "Burns paraffin for twenty hours.", 5950),
    ("COMPASS-HAND", "Hand bearing compass", "Damped, with a luminous card.", 8900),
    ("SEXTANT-STUDENT", "Student sextant", "Plastic frame, metal arc.", 18900),
    ("OAR-ASH-250", "Ash oar, 2.5 m", "One oar, leathered and oiled.", 7450),
    ("FENDER-ROUND", "Round fender", "Ø 45 cm, for a boat up to 9 m.", 4290),
    ("CHART-BALTIC", "Chart of the western Baltic", "1 : 250,000, folded.", 2450),
    ("KNIFE-RIGGING", "Rigging knife", "With marlinspike and lanyard hole.", 3190),
    ("BELL-SHIP-15", "Ship's bell, 15 cm", "Cast brass.", 6900),
    ("BAROMETER-DOME", "Dome barometer", "Brass case, 12 cm.", 9900),
    ("CAULK-IRON-SET", "Caulking irons, set of three", "Forged, for seams of 2 to 6 mm.", 5400),
    ("VARNISH-SPAR-1L", "Spar varnish, 1 l", "Six coats to a season.", 2790),
    ("BUOY-MOORING", "Mooring buoy", "Ø 60 cm, with chain tube.", 7990),
)


async def seed(gateway_url: str, settings: SeedSettings, reporter: Reporter) -> None:
    """Create what is missing, through the gateway at that address.

    Raises:
        SlipwayError: a call was rejected.
    """
    with refusals_of(f"The demo data can't be created through {gateway_url}"):
        async with SlipwayClient(gateway_url, timeout=15) as client:
            await seed_through(client, settings, reporter)


async def seed_through(client: SlipwayClient, settings: SeedSettings, reporter: Reporter) -> None:
    """Create what is missing; if nothing is missing, this costs two log-ins and three reads."""
    async with asyncio.TaskGroup() as group:
        support = group.create_task(_account(client, SUPPORT, "Sam Support"))
        group.create_task(_account(client, CUSTOMER, "Carla Customer"))
        catalogue = group.create_task(client.list_products(limit=100))
    present = {product.sku for product in catalogue.result().items}
    missing = [entry for entry in _CATALOGUE if entry[0] not in present]
    user = support.result()
    if not missing and "support" in user.roles:
        return
    admin = await client.login(
        email=settings.first_admin_email,
        password=settings.first_admin_password.get_secret_value(),
    )
    with reporter.step(f"demo data ({len(missing)} products, accounts)"):
        if "support" not in user.roles:
            await client.update_user_roles(admin.access_token, user.id, ("customer", "support"))
        for entry in missing:
            await _product(client, admin.access_token, *entry)


async def _account(client: SlipwayClient, email: str, name: str) -> User:
    """Return the account; register it if it can't log in yet."""
    try:
        tokens = await client.login(email=email, password=DEMO_PASSWORD)
    except ProblemError as error:
        if error.status != _UNAUTHORIZED:
            raise
        return await client.register(email=email, password=DEMO_PASSWORD, full_name=name)
    return await client.me(tokens.access_token)


async def _product(
    client: SlipwayClient, token: str, sku: str, name: str, description: str, price: int
) -> None:
    product = NewProduct(
        sku=sku,
        name=name,
        description=description,
        price=Money(amount=price, currency="EUR"),
        stock=_STOCK,
    )
    try:
        await client.create_product(token, product)
    except ProblemError as error:
        if error.status != _CONFLICT:  # it is there, beyond the first page of the list
            raise
