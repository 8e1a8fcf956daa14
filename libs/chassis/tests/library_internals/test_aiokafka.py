"""Canaries: aiokafka's clients have what `chassis.library_internals.aiokafka` relies on."""

import inspect

import aiokafka.admin.config_resource
import aiokafka.producer.message_accumulator
import aiokafka.protocol.api
import aiokafka.protocol.types
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import NotControllerError
from aiokafka.producer.sender import Sender

from chassis.library_internals.aiokafka import close_without_flush, create_topics
from testkit.library_internals import PrivateName


def name(owner, attribute, parameters=None, used_by="chassis.library_internals.aiokafka"):
    return PrivateName(
        library="aiokafka", owner=owner, name=attribute, parameters=parameters, used_by=used_by
    )


@pytest.mark.parametrize(
    "one",
    [
        name(AIOKafkaAdminClient, "_send_request", "self, request, node_id"),
        name(AIOKafkaClient, "close", "self"),
        name(Sender, "close", "self"),
        *(
            name(aiokafka.producer.message_accumulator.BatchBuilder, method, parameters)
            for method, parameters in {
                "append": "self, timestamp, key, value, headers",
                "close": "self",
            }.items()
        ),
        *(name(aiokafka.admin.config_resource, kind) for kind in ("ConfigResourceType",)),
        name(aiokafka.admin.config_resource, "ConfigResource", "resource_type, name, configs"),
        *(
            name(aiokafka.protocol.types, kind)
            for kind in ("Array", "Boolean", "Int8", "Int16", "Int32", "Schema", "String")
        ),
        *(
            name(aiokafka.protocol.api, kind, used_by="slipway.operate.topic_admin")
            for kind in ("Request", "RequestStruct", "Response")
        ),
        name(
            aiokafka.protocol.api.Request,
            "build",
            "self, request_struct_class",
            "slipway.operate.topic_admin",
        ),
    ],
    ids=str,
)
def test_aiokafka_has(one):
    one.check()


async def test_a_consumer_has_a_client():
    consumer = AIOKafkaConsumer(bootstrap_servers="127.0.0.1:1")
    where = name(consumer, "_client")
    where.check()
    assert isinstance(consumer._client, AIOKafkaClient), where.look_at("is no client")
    await consumer.stop()


async def test_a_member_of_a_group_has_a_coordinator_that_sends_its_commits():
    consumer = AIOKafkaConsumer(bootstrap_servers="127.0.0.1:1", group_id="a")
    name(consumer, "_coordinator").check()
    name(GroupCoordinator, "_do_commit_offsets", "self, assignment, offsets").check()
    commit = inspect.getsource(GroupCoordinator.commit_offsets)
    where = name(GroupCoordinator, "_do_commit_offsets")
    shielded = "asyncio.shield(self._do_commit_offsets(assignment, offsets))"
    assert shielded in commit, where.look_at("is not shielded any more")
    await consumer.stop()


async def test_a_started_consumer_has_a_fetcher_whose_waiters_end_with_each_arrival():
    consumer = AIOKafkaConsumer(bootstrap_servers="127.0.0.1:1")
    name(consumer, "_fetcher").check()
    name(Fetcher, "_create_fetch_waiter", "self").check()
    routine = inspect.getsource(Fetcher._fetch_requests_routine)
    woken = "for waiter in self._fetch_waiters:"
    assert woken in routine, name(Fetcher, "_fetch_waiters").look_at("are not ended any more")
    taken = inspect.getsource(Fetcher.fetched_records)
    assert "in list(self._records.keys()):" in taken, name(Fetcher, "_records").look_at(
        "does not hold what getmany takes"
    )
    await consumer.stop()


async def test_a_producer_has_a_client_a_sender_and_a_mark():
    producer = AIOKafkaProducer(bootstrap_servers="127.0.0.1:1")
    for attribute, kind in {"client": AIOKafkaClient, "_sender": Sender, "_closed": bool}.items():
        where = name(producer, attribute)
        where.check()
        found = getattr(producer, attribute)
        assert isinstance(found, kind), where.look_at(f"is {found!r}")
    await close_without_flush(producer, seconds=1)
    assert producer._closed is True


def test_a_producer_with_the_mark_is_not_flushed_nor_warned_of():
    where = name(AIOKafkaProducer, "_closed")
    for method in (AIOKafkaProducer.stop, AIOKafkaProducer.__del__):
        assert "_closed" in inspect.unwrap(method).__code__.co_names, where.look_at(
            f"does not matter to {method.__name__}"
        )


async def test_topics_of_a_cluster_without_a_controller_are_refused_for_now(monkeypatch):
    admin = AIOKafkaAdminClient(bootstrap_servers="127.0.0.1:1")

    async def no_news():
        return None

    monkeypatch.setattr(admin._client, "force_metadata_update", no_news)
    assert admin._client.cluster.controller is None
    with pytest.raises(NotControllerError, match="no controller at the moment") as caught:
        await create_topics(admin, [NewTopic("orders", 1, 1)])
    assert caught.value.retriable
    await admin.close()
