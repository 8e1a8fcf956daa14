"""Our hash of keys is Kafka's: an event goes to the partition that any client would choose."""

from aiokafka.partitioner import murmur2
from hypothesis import given
from hypothesis import strategies as st

from chassis.messaging.publishing.partitioner import hash_of_key


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=80))
def test_a_keys_hash_is_that_of_kafkas_default_partitioner(key):
    assert hash_of_key(key) == murmur2(key.encode()) & 0x7FFFFFFF
