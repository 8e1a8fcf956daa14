"""Kafka's default partitioner, fast enough for tens of thousands of keys a second.

The partitioner of aiokafka hashes a key byte by byte. This one hashes four bytes at a time, and
caches the hash, as keys repeat.
"""

import struct
from functools import lru_cache

_MASK = 0xFFFFFFFF
_SEED = 0x9747B28C
_M = 0x5BD1E995
_POSITIVE = 0x7FFFFFFF


@lru_cache(maxsize=20_000)
def hash_of_key(key: str) -> int:
    """Return the hash of a key; modulo the number of partitions it is the key's partition.

    Source: murmur2 of ``org.apache.kafka.common.utils.Utils``, its sign bit cleared.
    """
    data = key.encode()
    words, rest = divmod(len(data), 4)
    hashed = _SEED ^ len(data)
    for word in struct.unpack_from(f"<{words}I", data):
        mixed = word * _M & _MASK
        hashed = (hashed * _M ^ (mixed ^ mixed >> 24) * _M) & _MASK
    if rest:
        hashed = (hashed ^ int.from_bytes(data[-rest:], "little")) * _M & _MASK
    hashed = (hashed ^ hashed >> 13) * _M & _MASK
    return (hashed ^ hashed >> 15) & _POSITIVE
