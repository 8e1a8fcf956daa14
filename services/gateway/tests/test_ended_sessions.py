"""A token of an ended log-in session is refused, although it was valid a moment ago."""

import asyncio

from testkit.waiting import until

PATH = "/api/v1/orders"


async def refused(gateway, headers):
    """Wait until the gateway has read the event, some milliseconds; return the refusal."""
    async with asyncio.timeout(10):
        while True:
            answer = await gateway.http.get(PATH, headers=headers)
            if answer.status_code != 200:
                return answer
            await asyncio.sleep(0.01)


async def test_its_token_is_refused(start, topics, tokens, revoke):
    token, other = tokens.token(), tokens.token()
    gateway = await start(
        kafka_bootstrap_servers=topics.bootstrap_servers, kafka_topic_prefix=topics.prefix
    )
    headers = {"Authorization": f"Bearer {token}"}
    assert (await gateway.http.get(PATH, headers=headers)).status_code == 200
    await revoke(token)
    answer = await refused(gateway, headers)
    assert answer.status_code == 401
    assert "has ended. Log in" in answer.json()["detail"]
    headers = {"Authorization": f"Bearer {other}"}
    assert (await gateway.http.get(PATH, headers=headers)).status_code == 200


async def test_a_gateway_that_starts_later_refuses_it_with_its_first_request_once_it_is_ready(
    start, topics, tokens, revoke
):
    token = tokens.token()
    await revoke(token)
    gateway = await start(
        kafka_bootstrap_servers=topics.bootstrap_servers, kafka_topic_prefix=topics.prefix
    )
    await until(lambda: gateway.process.health.ready[0])
    answer = await gateway.http.get(PATH, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401
    assert "has ended. Log in" in answer.json()["detail"]
