"""An account that can't be used gets no mails, and all of them again once it can."""

from contracts.examples import example
from contracts.users import UserDeactivated, UserReactivated, UserSnapshot

from .conftest import ADDRESS, states


async def test_a_deactivated_account_gets_no_mails_until_it_is_reactivated(
    member, consume, placed, send, mail_server, db
):
    user = await member()
    await consume(placed(user))  # its mail waits while the account is deactivated
    await consume(example(UserDeactivated, user_id=user, version=3), partition=1)
    await consume(placed(user))
    await send()
    assert mail_server.recipients == []
    assert [row[0] for row in await states(db)] == ["rejected"]
    await consume(example(UserReactivated, user_id=user, version=4), partition=1)
    await consume(placed(user))
    await send()
    assert mail_server.recipients == [ADDRESS]
    assert await db.fetchval("SELECT count(*) FROM notifications") == 3, "all are in the list"


async def test_a_snapshot_says_whether_the_account_is_active(
    member, consume, placed, send, mail_server
):
    user = await member()
    given = {"user_id": user, "version": 2, "email": ADDRESS, "email_verified": True}
    await consume(example(UserSnapshot, **given, is_active=False), partition=1)
    await consume(placed(user))
    await send()
    assert mail_server.recipients == []
    await consume(example(UserSnapshot, **given, is_active=True), partition=1)
    await consume(placed(user))
    await send()
    assert mail_server.recipients == [ADDRESS]
