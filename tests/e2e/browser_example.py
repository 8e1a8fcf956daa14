"""A real browser uses docs/examples/browser: Chromium, on a whole system.

It is not collected by default, since it needs Chromium: ``make browser-check``. A test that fails
leaves its trace in .slipway/browser; ``playwright show-trace FILE`` shows it.
"""

import asyncio
import functools
import http.server
import re
import threading
import uuid
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import WebSocketRoute, expect

from testkit.authenticator import code_of
from testkit.browsers import chromium, visitor

from .conftest import PASSWORD, Customer
from .test_mail import verify_address

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "browser"
ADDRESS = {
    "Street": "12 St James Square",
    "Postal code": "SW1Y 4JH",
    "City": "London",
    "Country code": "GB",
}


@pytest.fixture(scope="module")
def page_url(tmp_path_factory, page_origin, system):
    """Serve the page as its README says; only the address of the API is another one."""
    directory = tmp_path_factory.mktemp("page")
    for file in EXAMPLE.iterdir():
        text = file.read_text(encoding="utf-8")
        moved = text.replace("127.0.0.1:8000", system.gateway_url.removeprefix("http://"))
        (directory / file.name).write_text(moved, encoding="utf-8")
    handler = functools.partial(Quiet, directory=directory)
    port = int(page_origin.rpartition(":")[2])
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield page_origin
        server.shutdown()
        thread.join()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
async def browser():
    async with chromium() as launched:
        yield launched


@pytest.fixture
async def visit(request, browser, page_url):
    """Open the page as a new visitor. An error on its console fails the test."""

    @asynccontextmanager
    async def opened():
        async with visitor(browser, name=request.node.name) as page:
            errors = []
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.on(
                "console", lambda line: errors.append(line.text) if line.type == "error" else None
            )
            await page.goto(page_url)
            yield page
            # Chromium prints a line for each refused request, such as a refresh without a cookie.
            assert not [one for one in errors if not one.startswith("Failed to load resource")]

    return opened


@pytest.fixture
async def account(client):
    email = f"{uuid.uuid4().hex}@example.com"
    await client.register(email=email, password=PASSWORD, full_name="Ada Lovelace")
    return email


async def log_in(page, email, password=PASSWORD):
    await page.get_by_label("E-mail").fill(email)
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Log in").click()


async def order(page):
    for label, value in ADDRESS.items():
        await page.get_by_label(label).fill(value)
    await page.get_by_role("button", name="Place the order").click()
    await expect(page.locator("#placed")).to_contain_text("is placed")


async def test_a_customer_orders_and_sees_the_push(visit, account, client):
    async with visit() as page:
        await log_in(page, account)
        await expect(page.locator("#state")).to_have_text("connected")
        feed = page.get_by_role("list", name="Notifications").get_by_role("listitem")
        await expect(feed).to_have_count(0)
        await order(page)
        await expect(feed).to_have_count(1)
        stored = await page.evaluate("[{...localStorage}, {...sessionStorage}, document.cookie]")
        assert stored == [{}, {}, ""]
        await page.reload()
        await expect(page.get_by_text("Ada Lovelace", exact=True)).to_be_visible()
        await expect(feed).to_have_count(1)
        await page.get_by_role("button", name="Log out").click()
        await expect(page.get_by_role("heading", name="Log in")).to_be_focused()
        await page.reload()
        await expect(page.get_by_label("Password")).to_be_visible()
    tokens = await client.login(email=account, password=PASSWORD)
    assert len((await client.list_sessions(tokens.access_token)).items) == 1


async def test_a_lost_feed_resumes_without_a_gap_or_a_double(visit, account, client, product):
    customer = Customer(
        token=(await client.login(email=account, password=PASSWORD)).access_token, client=client
    )
    sockets, allowed = [], asyncio.Event()
    allowed.set()

    async def connect(socket):
        if not allowed.is_set():
            await socket.close(code=1013)
            return
        socket.connect_to_server()
        sockets.append(socket)

    async with visit() as page:
        await page.route_web_socket("**/notifications/ws", connect)
        await log_in(page, account)
        await expect(page.locator("#state")).to_have_text("connected")
        feed = page.get_by_role("list", name="Notifications").get_by_role("listitem")
        await customer.order(product.id)
        await expect(feed).to_have_count(1)
        allowed.clear()
        await sockets[-1].close(code=1012)
        await expect(page.locator("#state")).not_to_have_text("connected")
        for _ in range(5):
            await customer.order(product.id)
        allowed.set()
        await expect(feed).to_have_count(6, timeout=60_000)
        await customer.order(product.id)
        await expect(feed).to_have_count(7)
    assert len(sockets) == 2


async def test_after_a_reset_the_list_is_read_page_by_page_and_no_further_than_its_bound(
    visit, account, client, product
):
    customer = Customer(
        token=(await client.login(email=account, password=PASSWORD)).access_token, client=client
    )
    sockets: list[WebSocketRoute] = []
    lists: list[str] = []
    allowed, endless = asyncio.Event(), asyncio.Event()
    allowed.set()

    async def connect(socket):
        if not allowed.is_set():
            await socket.close(code=1013)
            return
        server = socket.connect_to_server()
        # The feed never issued this id, so it can't resume there.
        socket.on_message(
            lambda text: server.send(re.sub(r'("last_event_id":)\d+', r"\g<1>999999", text))
        )
        sockets.append(socket)

    async def two_of_a_page(route):
        lists.append(route.request.url)
        if endless.is_set():
            await route.fulfill(json={"items": [], "next_cursor": "further"})
        else:
            await route.continue_(url=re.sub(r"limit=\d+", "limit=2", route.request.url))

    async with visit() as page:
        await page.route_web_socket("**/notifications/ws", connect)
        await customer.order(product.id)
        await log_in(page, account)
        feed = page.get_by_role("list", name="Notifications").get_by_role("listitem")
        await expect(feed).to_have_count(1)
        await page.route("**/api/v1/notifications?*", two_of_a_page)
        allowed.clear()
        await sockets[-1].close(code=1012)
        await expect(page.locator("#state")).not_to_have_text("connected")
        for _ in range(4):
            await customer.order(product.id)
        allowed.set()
        await expect(feed).to_have_count(5, timeout=60_000)
        ids = await feed.evaluate_all("lines => lines.map((one) => Number(one.dataset.eventId))")
        assert ids == [5, 4, 3, 2, 1]
        assert len(lists) == 3
        lists.clear()
        endless.set()
        await sockets[-1].close(code=1012)
        async with asyncio.timeout(60):
            while len(lists) < 5:
                await page.wait_for_timeout(50)
        await customer.order(product.id)  # the page goes on, and asks no more
        await expect(feed).to_have_count(6)
        assert len(lists) == 5


async def test_an_order_whose_response_is_lost_is_placed_once(visit, account, client):
    lost: list[int] = []

    async def lose_first(route):
        if route.request.method != "POST" or lost:
            await route.continue_()
            return
        response = await route.fetch()
        lost.append(response.status)
        await route.abort("connectionreset")

    async with visit() as page:
        await log_in(page, account)
        await page.route("**/api/v1/orders", lose_first)
        await order(page)
    assert lost == [201]
    tokens = await client.login(email=account, password=PASSWORD)
    assert len((await client.list_orders(tokens.access_token)).items) == 1


async def test_a_refusal_is_an_alert_and_a_second_factor_is_asked_for(
    system, visit, account, client
):
    await verify_address(system, client, account)
    token = (await client.login(email=account, password=PASSWORD)).access_token
    setup = await client.set_up_totp(token)
    codes = await client.confirm_totp(token, code_of(setup.secret))
    async with visit() as page:
        await log_in(page, account, "wrong horse battery")
        await expect(page.get_by_role("alert")).to_contain_text("password")
        await log_in(page, account)
        code = page.get_by_label("Code of your authenticator app")
        await expect(code).to_be_focused()
        await code.fill(codes.recovery_codes[0])
        await page.get_by_role("button", name="Log in").click()
        await expect(page.locator("#state")).to_have_text("connected")
        await expect(page.get_by_role("alert")).to_be_empty()
