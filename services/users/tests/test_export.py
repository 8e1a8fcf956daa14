"""The users' part of the export of a person's data."""

import pytest

from chassis.api import create_api
from testkit.clients import client_of
from testkit.problems import problem_kind
from testkit.statements import statements_of_requests
from users.declaration import SERVICE

from .conftest import PASSWORD, bearer_of

EXPORT = "/exports/me"
LISTS = (
    "accounts",
    "sessions",
    "api_keys",
    "passkeys",
    "totp",
    "one_time_tokens",
    "mail_requests",
    "jobs",
    "audit_log",
)


async def test_an_export_has_the_account_and_its_sessions_without_secrets(
    client, register, log_in, db
):
    account = await register()
    await register("bob@example.com")
    await log_in("bob@example.com")
    first, second = [await log_in() for _ in range(2)]
    answer = await client.get(EXPORT, headers=bearer_of(second))
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    exported = answer.json()
    assert exported.keys() == set(LISTS)
    assert exported["accounts"] == [account]
    rows = await db.fetch(
        "SELECT id::text FROM sessions WHERE user_id = $1 ORDER BY id", account["id"]
    )
    assert [session["id"] for session in exported["sessions"]] == [row["id"] for row in rows]
    assert len(rows) == 2
    secrets = [PASSWORD, first["refresh_token"], second["refresh_token"], "argon2"]
    assert not [secret for secret in secrets if secret in answer.text]


async def test_an_ended_session_is_exported_until_it_is_deleted(client, register, log_in, db):
    await register()
    tokens = await log_in()
    await db.execute("UPDATE sessions SET revoked_at = now()")
    exported = (await client.get(EXPORT, headers=bearer_of(tokens))).json()
    assert [session["revoked_at"] is None for session in exported["sessions"]] == [False]


async def test_more_sessions_than_a_page_are_exported_each_once(client, register, log_in, db):
    account = await register()
    tokens = await log_in()
    await db.execute(
        "INSERT INTO sessions (id, user_id) SELECT gen_random_uuid(), $1"
        " FROM generate_series(1, 230)",
        account["id"],
    )
    exported = (await client.get(EXPORT, headers=bearer_of(tokens))).json()["sessions"]
    assert len({session["id"] for session in exported}) == len(exported) == 231


async def test_a_change_of_roles_is_in_the_export_of_the_account_it_was_made_to(
    client, register, tokens
):
    account = await register()
    admin = tokens.headers(scopes=["users:write"])
    patch = {"roles": ["support"]}
    headers = {**admin, "Content-Type": "application/merge-patch+json"}
    changed = await client.patch(f"/api/v1/users/{account['id']}", json=patch, headers=headers)
    assert changed.status_code == 200
    headers = tokens.headers(subject=account["id"], scopes=["profile"])
    [entry] = (await client.get(EXPORT, headers=headers)).json()["audit_log"]
    assert entry["action"] == "user.roles_changed"
    assert entry["details"] == {"before": ["customer"], "after": ["support"]}
    assert entry["address"] is None


async def test_the_token_of_an_account_that_is_gone_exports_nothing(client, tokens):
    answer = await client.get(EXPORT, headers=tokens.headers(scopes=["profile"]))
    assert answer.json() == {name: [] for name in LISTS}


@pytest.mark.parametrize(
    ("scopes", "status", "name"),
    [(None, 401, "unauthenticated"), (["orders:read"], 403, "insufficient-scope")],
)
async def test_an_export_needs_a_token_with_the_scope_of_the_profile(
    client, tokens, scopes, status, name
):
    headers = {} if scopes is None else tokens.headers(scopes=scopes)
    refused = await client.get(EXPORT, headers=headers)
    assert (refused.status_code, problem_kind(refused)) == (status, name)


async def test_an_export_is_one_statement_for_each_list(settings, tokens):
    app = create_api(SERVICE, settings)
    headers = tokens.headers(scopes=["profile"])
    async with client_of(app) as client:
        await client.get(EXPORT, headers=headers)
        async with statements_of_requests(app.state.database) as sent:
            assert (await client.get(EXPORT, headers=headers)).status_code == 200
    assert len(sent) == 2 + len(LISTS) + 1  # with BEGIN, COMMIT, and the number of jobs


async def test_a_pending_change_of_the_address_is_exported_without_its_token(
    client, register, log_in, mailed
):
    await register()
    await mailed()
    tokens = await log_in()
    headers = {**bearer_of(tokens), "Content-Type": "application/merge-patch+json"}
    await client.patch("/api/v1/users/me", json={"email": "new@example.org"}, headers=headers)
    token = (await mailed())[-1]["token"]
    answer = await client.get(EXPORT, headers=bearer_of(tokens))
    pending = {one["purpose"]: one for one in answer.json()["one_time_tokens"]}
    assert pending.keys() == {"verify_email", "change_email"}
    assert pending["change_email"]["new_email"] == "new@example.org"
    assert token not in answer.text


async def test_jobs_are_exported_that_name_the_account_or_its_address(client, register, log_in):
    account = await register("ada@example.com")
    await register("da@example.com")
    for email in ("Ada@Example.com", "da@example.com"):
        await client.post("/api/v1/password-resets", json={"email": email})
    headers = bearer_of(await log_in())
    exported = (await client.get(EXPORT, headers=headers)).json()
    [job] = exported["jobs"]
    assert (job["kind"], job["state"]) == ("users.mail-verification.v1", "waiting")
    assert job["arguments"]["user_id"] == account["id"]
    [request] = exported["mail_requests"]
    assert request["kind"] == "users.mail-password-reset.v1"
    assert request["arguments"]["address"].endswith("characters>"), "it may be a stranger's"


async def test_own_api_keys_are_in_the_audit_log_of_the_export(
    client, register, verify_address, log_in
):
    await verify_address((await register())["email"])
    headers = bearer_of(await log_in())
    body = {"name": "Warehouse", "scopes": ["orders:read"]}
    key = (await client.post("/api/v1/api-keys", json=body, headers=headers)).json()
    await client.delete(f"/api/v1/api-keys/{key['id']}", headers=headers)
    exported = (await client.get(EXPORT, headers=headers)).json()
    entries = [one for one in exported["audit_log"] if one["action"].startswith("api_key")]
    assert [one["action"] for one in entries] == ["api_key.created", "api_key.revoked"]
    assert {one["details"]["api_key_id"] for one in entries} == {key["id"]}
    assert "Warehouse" not in str(exported["audit_log"]), "the log outlives the account"
