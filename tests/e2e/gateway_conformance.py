"""Many generated requests through the gateway to every operation, also those of an administrator.

It takes minutes, so it is not part of `make test`: run `make conformance`. Its requests are the
same in each run.
"""

import os

from testkit.conformance import conforms

from .callers import caller
from .test_gateway_document import STREAMS, document, operations_of, succeeded

__all__ = ["document"]

EXAMPLES = int(os.environ.get("CONFORMANCE_EXAMPLES", "40"))


async def test_no_request_gets_a_5xx_or_an_undocumented_response(system, document):
    sender = await caller(system, roles=("customer", "support", "admin"))
    statuses = await conforms(
        document,
        base_url=system.gateway_url,
        headers=sender.fields,
        known=sender.known,
        max_examples=EXAMPLES,
    )
    assert statuses.keys() == operations_of(document) - STREAMS
    print(sum(seen.total() for seen in statuses.values()), "requests")
    for name, seen in statuses.items():
        print(f"{name}: {dict(sorted(seen.items()))}")
    assert len(succeeded(statuses)) >= 45
