"""The refresh token in a cookie: scripts can't read it, and other origins can't make use of it."""

from http.cookies import SimpleCookie

import pytest

from users.sessions.service import Refusal

from .conftest import bearer_of, count_living
from .test_sessions import claims_of
from .test_tokens import FORM, assert_refused

LOGIN = "/api/v1/auth/login"
TOKEN = "/api/v1/auth/token"
REVOKE = "/api/v1/auth/revoke"
SESSIONS = "/api/v1/auth/sessions"
NAME = "__Host-refresh-token"
BODY = {"email": "ada@example.com", "password": "correct horse battery", "browser": True}
GRANT = {"grant_type": "refresh_token"}
OWN = "http://test"
SHOP = "https://shop.example.com"
PAGE = {"Origin": OWN, "Sec-Fetch-Site": "same-origin"}
# What browsers send, by the page that sends it.
ALLOWED = [
    PAGE,
    {"Sec-Fetch-Site": "same-origin"},
    {"Origin": OWN},
    {"Origin": SHOP},
    {"Origin": SHOP, "Sec-Fetch-Site": "same-site"},
]
FORBIDDEN = [
    {},
    {"Origin": "null"},
    {"Origin": "https://evil.example"},
    {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "https://other.example.com", "Sec-Fetch-Site": "same-site"},
    {"Origin": SHOP, "Sec-Fetch-Site": "cross-site"},
    {"Origin": "https://test"},
    {"Origin": "http://test.evil.example"},
    {"Origin": "http://test:81"},
    {"Origin": f"{OWN}, {SHOP}"},
    {"Origin": "", "Sec-Fetch-Site": ""},
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "Same-Origin"},
    {"Referer": f"{OWN}/"},
]


@pytest.fixture
def more_settings(more_settings):
    return {**more_settings, "browser_origins": (SHOP,)}


@pytest.fixture(autouse=True)
def _no_jar(client):
    """Send only the cookies that a test sends: the jar would keep the app's own."""
    client.cookies.jar.set_policy(_Nothing())


class _Nothing:
    """A policy of http.cookiejar that stores and returns nothing."""

    netscape = True
    rfc2965 = hide_cookie2 = False

    def set_ok(self, *_):
        return False

    def return_ok(self, *_):
        return False

    def domain_return_ok(self, *_):
        return False

    def path_return_ok(self, *_):
        return False


def cookie_in(answer):
    """Return the only cookie that a response sets."""
    (line,) = answer.headers.get_list("set-cookie")
    (cookie,) = SimpleCookie(line).values()
    assert cookie.key == NAME
    assert (cookie["path"], cookie["domain"], cookie["samesite"].lower()) == ("/", "", "strict")
    assert cookie["secure"] is True
    assert cookie["httponly"] is True
    return cookie


@pytest.fixture
async def opened(client, register):
    """Log in in browser mode, and return the response."""
    await register()
    answer = await client.post(LOGIN, json=BODY, headers=PAGE)
    assert answer.status_code == 200, answer.text
    return answer


@pytest.fixture
def post(client):
    """Send a form, as a page does that has the cookie."""

    async def send(path, form, kept, **headers):
        fields = {"Content-Type": FORM, "Cookie": f"theme=dark; {NAME}={kept}; a=b", **headers}
        content = "&".join(f"{name}={value}" for name, value in form.items())
        return await client.post(path, content=content, headers=fields)

    return send


async def test_the_refresh_token_is_in_the_cookie_and_not_in_the_body(opened):
    cookie = cookie_in(opened)
    assert len(cookie.value) == 43
    assert cookie["max-age"] == str(30 * 24 * 3600)
    assert cookie.value not in opened.text
    assert opened.json().keys() == {"access_token", "token_type", "expires_in", "scope"}
    assert opened.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("body", [{}, {"browser": False}])
async def test_without_the_mode_there_is_no_cookie(client, register, body):
    await register()
    answer = await client.post(LOGIN, json={**BODY, "browser": False, **body}, headers=PAGE)
    assert "set-cookie" not in answer.headers
    assert len(answer.json()["refresh_token"]) == 43


@pytest.mark.parametrize("page", ALLOWED)
async def test_a_page_refreshes_with_the_cookie_and_gets_the_successor_in_it(opened, post, page):
    first = cookie_in(opened).value
    answer = await post(TOKEN, GRANT, first, **page)

    assert answer.status_code == 200, answer.text
    second = cookie_in(answer).value
    assert second != first
    assert "refresh_token" not in answer.json()
    assert second not in answer.text
    assert claims_of(answer.json())["sid"] == claims_of(opened.json())["sid"]
    assert (await post(TOKEN, GRANT, second, **page)).status_code == 200


async def test_a_repeated_refresh_sets_the_same_cookie(opened, post):
    first = cookie_in(opened).value
    answers = [await post(TOKEN, GRANT, first, **PAGE) for _ in range(2)]
    assert len({cookie_in(answer).value for answer in answers}) == 1


@pytest.mark.parametrize("page", FORBIDDEN)
async def test_another_origin_can_neither_refresh_nor_log_out_by_the_cookie(opened, post, page, db):
    first = cookie_in(opened).value
    for path, form in ((TOKEN, GRANT), (REVOKE, {"token_type_hint": "refresh_token"})):
        answer = await post(path, form, first, **page)
        assert_refused(answer, "invalid_request")
        assert "set-cookie" not in answer.headers
    assert await count_living(db) == 1
    assert await db.fetchval("SELECT count(*) FROM refresh_tokens WHERE used_at IS NULL") == 1
    assert (await post(TOKEN, GRANT, first, **PAGE)).status_code == 200


@pytest.mark.parametrize("page", FORBIDDEN)
async def test_another_origin_can_not_log_a_browser_in(client, register, page, db):
    """Otherwise a page could put its own session into the browser of somebody else."""
    await register()
    answer = await client.post(LOGIN, json=BODY, headers=page)
    assert (answer.status_code, answer.json()["type"].rsplit("/")[-1]) == (403, "cross-origin")
    assert "set-cookie" not in answer.headers
    assert await count_living(db) == 0


async def test_a_token_in_the_form_precedes_the_cookie(opened, log_in, post):
    """A client that sends its own token is no browser in this mode, and gets no cookie."""
    own = await log_in()
    form = {**GRANT, "refresh_token": own["refresh_token"]}
    answer = await post(TOKEN, form, cookie_in(opened).value)
    assert claims_of(answer.json())["sid"] == claims_of(own)["sid"]
    assert "set-cookie" not in answer.headers
    assert "refresh_token" in answer.json()


async def test_a_page_logs_out_by_the_cookie_alone(opened, post, db):
    kept = cookie_in(opened).value
    answer = await post(REVOKE, {}, kept, **PAGE)
    assert answer.status_code == 200
    assert (cookie_in(answer).value, cookie_in(answer)["max-age"]) == ("", "0")
    assert await count_living(db) == 0
    refused = await post(TOKEN, GRANT, kept, **PAGE)
    assert refused.json()["error_description"] == Refusal.REVOKED


async def test_a_token_in_the_form_is_revoked_and_not_the_cookies(opened, log_in, post, db):
    own = await log_in()
    answer = await post(REVOKE, {"token": own["refresh_token"]}, cookie_in(opened).value, **PAGE)
    assert (answer.status_code, "set-cookie" in answer.headers) == (200, False)
    (ended,) = await db.fetch("SELECT id FROM sessions WHERE revoked_at IS NOT NULL")
    assert str(ended["id"]) == claims_of(own)["sid"]


@pytest.mark.parametrize("path", [SESSIONS, f"{SESSIONS}/own"])
async def test_the_end_of_ones_own_session_deletes_the_cookie(client, opened, path):
    own = opened.json()
    target = path.replace("/own", f"/{claims_of(own)['sid']}")
    answer = await client.delete(target, headers=bearer_of(own))
    assert answer.status_code == 204
    assert cookie_in(answer)["max-age"] == "0"


async def test_the_end_of_another_session_leaves_the_cookie(client, opened, log_in):
    other = claims_of(await log_in())["sid"]
    answer = await client.delete(f"{SESSIONS}/{other}", headers=bearer_of(opened.json()))
    assert (answer.status_code, "set-cookie" in answer.headers) == (204, False)


@pytest.mark.parametrize("path", [TOKEN, REVOKE])
@pytest.mark.parametrize("cookie", ["theme=dark", f"{NAME}=", f"refresh-token={'x' * 43}"])
async def test_without_token_and_cookie_the_request_is_not_valid(client, path, cookie):
    headers = {"Content-Type": FORM, "Cookie": cookie, **PAGE}
    content = "grant_type=refresh_token"
    assert_refused(await client.post(path, content=content, headers=headers), "invalid_request")


async def test_the_cookie_authorises_nothing_else(client, opened):
    headers = {"Cookie": f"{NAME}={cookie_in(opened).value}", **PAGE}
    for method, path in (("GET", "/api/v1/users/me"), ("GET", SESSIONS), ("DELETE", SESSIONS)):
        assert (await client.request(method, path, headers=headers)).status_code == 401
