"""Reading and changing accounts: a user's own, and others' with the right scopes."""

import asyncio
import base64
import json

import pytest

from chassis.auth.opaque import token_hash
from chassis.database import new_id

ME = "/api/v1/users/me"
USERS = "/api/v1/users"
# Fixed, because a test's id must be the same in every process of a run.
NOBODY = "01900000-0000-7000-8000-000000000000"
PATCH = "application/merge-patch+json"


def sid_of(tokens):
    """Return the log-in session of an access token."""
    claims = tokens["access_token"].split(".")[1]
    return json.loads(base64.urlsafe_b64decode(claims + "=="))["sid"]


@pytest.fixture
def reader(tokens):
    return tokens.headers(scopes=["users:read"])


@pytest.fixture
def writer(tokens):
    return tokens.headers(scopes=["users:read", "users:write"])


async def test_a_user_reads_their_own_account(client, bearer):
    answer = await client.get(ME, headers=bearer)

    assert answer.status_code == 200
    assert answer.json()["email"] == "ada@example.com"
    assert answer.headers["etag"] == '"1"'


async def test_what_has_not_changed_is_not_sent_again(client, bearer, register, reader):
    grace = await register("grace@example.com")
    for path, headers in ((ME, bearer), (f"{USERS}/{grace['id']}", reader)):
        known = await client.get(path, headers={**headers, "If-None-Match": 'W/"1"'})
        changed = await client.get(path, headers={**headers, "If-None-Match": '"2"'})
        assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", '"1"')
        assert changed.status_code == 200


async def test_a_profile_is_patched_and_announced(client, bearer, events):
    before = (await client.get(ME, headers=bearer)).json()

    answer = await client.patch(
        ME,
        content=json.dumps({"full_name": "Ada King"}),
        headers={**bearer, "Content-Type": PATCH, "If-Match": '"1"'},
    )

    after = answer.json()
    assert answer.status_code == 200
    assert answer.headers["etag"] == '"2"'
    assert (after["full_name"], after["version"]) == ("Ada King", 2)
    assert after["updated_at"] > before["updated_at"]
    assert (await client.get(ME, headers=bearer)).json() == after
    assert (await events())[1:] == [
        (
            "user.profile_updated.v1",
            "00000000000000000002",
            {"version": 2, "user_id": after["id"], "full_name": "Ada King"},
        )
    ]


@pytest.mark.parametrize("patch", [{}, {"full_name": "Ada Lovelace"}])
async def test_a_patch_that_changes_nothing_is_not_announced(client, bearer, events, patch):
    before = (await client.get(ME, headers=bearer)).json()

    answer = await client.patch(ME, json=patch, headers=bearer)

    assert answer.status_code == 200
    assert answer.json() == before
    assert len(await events()) == 1


@pytest.mark.parametrize(
    ("patch", "pointer"),
    [
        ({"full_name": None}, "#/full_name"),
        ({"full_name": ""}, "#/full_name"),
        ({"full_name": 1}, "#/full_name"),
        ({"email": "nobody"}, "#/email"),
        ({"email_verified": True}, "#/email_verified"),
        ({"roles": ["admin"]}, "#/roles"),
        ([], "#"),
    ],
)
async def test_a_wrong_profile_patch_is_refused(client, bearer, patch, pointer):
    answer = await client.patch(ME, json=patch, headers=bearer)

    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


async def test_a_profile_patch_on_an_old_version_is_refused(client, bearer, events):
    answer = await client.patch(
        ME, json={"full_name": "Ada King"}, headers={**bearer, "If-Match": '"7"'}
    )

    assert answer.status_code == 412
    assert answer.json()["type"].endswith("/precondition-failed")
    assert len(await events()) == 1


async def test_of_parallel_patches_on_one_version_one_wins(client, bearer, events):
    headers = {**bearer, "If-Match": '"1"'}

    answers = await asyncio.gather(
        *(client.patch(ME, json={"full_name": f"Ada {n}"}, headers=headers) for n in range(8))
    )

    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 7
    assert len(await events()) == 2


async def test_parallel_patches_raise_the_version_one_by_one(client, bearer, events):
    answers = await asyncio.gather(
        *(client.patch(ME, json={"full_name": f"Ada {n}"}, headers=bearer) for n in range(8))
    )

    assert sorted(answer.json()["version"] for answer in answers) == list(range(2, 10))
    # The relay reads in the order of seq, which must be the order of the versions.
    assert [int(sequence) for _, sequence, _ in await events()] == list(range(1, 10))


async def test_an_administrator_changes_roles(client, register, writer, events):
    user = await register()

    answer = await client.patch(
        f"{USERS}/{user['id']}",
        json={"roles": ["support", "customer", "support"]},
        headers={**writer, "Content-Type": PATCH, "If-Match": '"1"'},
    )

    assert answer.status_code == 200
    assert (answer.json()["roles"], answer.json()["version"]) == (["customer", "support"], 2)
    assert answer.headers["etag"] == '"2"'
    assert (await events())[1:] == [
        (
            "user.roles_changed.v1",
            "00000000000000000002",
            {"version": 2, "user_id": user["id"], "roles": ["customer", "support"]},
        )
    ]


async def test_other_roles_end_the_sessions(client, register, log_in, writer, events, db):
    user = await register()
    await register("grace@example.com")
    first, second, other = await log_in(), await log_in(), await log_in("grace@example.com")
    old = (await log_in())["refresh_token"]
    await db.execute(
        "UPDATE refresh_tokens SET created_at = now() - interval '12 min' WHERE token_hash = $1",
        token_hash(old),
    )

    await client.patch(f"{USERS}/{user['id']}", json={"roles": ["support"]}, headers=writer)

    ended = (await events())[-1]
    assert ended[:2] == ("session.revoked.v1", None)
    assert ended[2]["user_id"] == user["id"]
    # The access tokens of the third log-in session have expired.
    assert sorted(ended[2]["sids"]) == sorted([sid_of(first), sid_of(second)])
    for tokens, status in (
        (first, 400),
        (second, 400),
        ({"refresh_token": old}, 400),
        (other, 200),
    ):
        form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
        assert (await client.post("/api/v1/auth/token", data=form)).status_code == status


@pytest.mark.parametrize("patch", [{}, {"roles": ["customer"]}, {"roles": ["customer"] * 2}])
async def test_roles_that_stay_are_not_announced(client, register, writer, events, patch):
    user = await register()

    answer = await client.patch(f"{USERS}/{user['id']}", json=patch, headers=writer)

    assert (answer.status_code, answer.json()) == (200, user)
    assert len(await events()) == 1


@pytest.mark.parametrize(
    ("patch", "pointer"),
    [
        ({"roles": ["root"]}, "#/roles/0"),
        ({"roles": []}, "#/roles"),
        ({"roles": None}, "#/roles"),
        ({"roles": "admin"}, "#/roles"),
        ({"roles": ["admin"] * 4}, "#/roles"),
        ({"full_name": "Ada"}, "#/full_name"),
        ({"version": 2}, "#/version"),
    ],
)
async def test_a_wrong_roles_patch_is_refused(client, register, writer, patch, pointer):
    user = await register()

    answer = await client.patch(f"{USERS}/{user['id']}", json=patch, headers=writer)

    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


async def test_a_roles_patch_on_an_old_version_is_refused(client, register, writer):
    user = await register()

    answer = await client.patch(
        f"{USERS}/{user['id']}", json={"roles": ["admin"]}, headers={**writer, "If-Match": '"2"'}
    )

    assert answer.status_code == 412


async def test_a_user_that_is_not_there_is_404(client, tokens, reader, writer):
    nobody = f"{USERS}/{new_id()}"
    owner = tokens.headers(scopes=["profile"])
    answers = [
        await client.get(nobody, headers=reader),
        await client.patch(nobody, json={"roles": ["admin"]}, headers=writer),
        await client.get(ME, headers=owner),
        await client.patch(ME, json={}, headers=owner),
    ]

    assert [answer.status_code for answer in answers] == [404] * 4
    assert {answer.json()["type"].rsplit("/", 1)[-1] for answer in answers} == {"user-not-found"}


async def test_an_invalid_id_is_refused(client, reader):
    answer = await client.get(f"{USERS}/x", headers=reader)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["parameter"] == "user_id"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ME),
        ("PATCH", ME),
        ("DELETE", ME),
        ("GET", USERS),
        ("GET", f"{USERS}/{NOBODY}"),
        ("PATCH", f"{USERS}/{NOBODY}"),
    ],
)
async def test_without_a_valid_token_nothing_is_shown(client, method, path):
    body = {"full_name": "Ada"} if method == "PATCH" else None
    without = await client.request(method, path, json=body)
    bad = await client.request(method, path, json=body, headers={"Authorization": "Bearer x"})

    assert (without.status_code, bad.status_code) == (401, 401)
    assert without.headers["www-authenticate"] == "Bearer"
    assert bad.headers["www-authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", USERS, "users:read"),
        ("GET", f"{USERS}/{NOBODY}", "users:read"),
        ("PATCH", f"{USERS}/{NOBODY}", "users:write"),
        ("GET", ME, "profile"),
        ("PATCH", ME, "profile"),
        ("DELETE", ME, "profile"),
    ],
)
async def test_a_token_without_the_scope_is_refused(client, tokens, method, path, scope):
    every_other = {"profile", "users:read", "users:write"} - {scope}
    change = {"full_name": "Ada"} if path == ME else {"roles": ["admin"]}
    body = change if method == "PATCH" else None

    answer = await client.request(
        method, path, json=body, headers=tokens.headers(scopes=every_other)
    )

    assert answer.status_code == 403
    assert answer.json()["type"].endswith("/insufficient-scope")
    assert f'scope="{scope}"' in answer.headers["www-authenticate"]


async def test_pages_list_every_account_once_the_newest_first(client, register, reader, db):
    emails = [f"user{n}@example.com" for n in range(5)]
    for email in emails:
        await register(email)
    # The times are equal, so the id decides, and a page may end between the two.
    await db.execute("UPDATE users SET created_at = (SELECT min(created_at) FROM users)")

    seen, path = [], f"{USERS}?limit=2"
    while path:
        answer = await client.get(path, headers=reader)
        assert answer.status_code == 200
        seen += [user["email"] for user in answer.json()["items"]]
        path = answer.links.get("next", {}).get("url")
        assert (path is None) == (answer.json()["next_cursor"] is None)

    assert seen == emails[::-1]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("cursor=x", "cursor"),
        ("cursor=" + base64.urlsafe_b64encode(b'{"at": 1}').decode(), "cursor"),
        ("nonsense=1", "nonsense"),
    ],
)
async def test_a_wrong_page_parameter_is_named(client, reader, query, parameter):
    answer = await client.get(f"{USERS}?{query}", headers=reader)

    assert answer.status_code == 422
    assert [error["parameter"] for error in answer.json()["errors"]] == [parameter]
