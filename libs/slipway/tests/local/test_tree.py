import io

import pytest
from rich.console import Console

from slipway.errors import SlipwayError
from slipway.local.spans import Span
from slipway.local.traces import SpanStore, create_app
from slipway.local.tree import as_tree, read_trace
from testkit.listeners import listening

_TRACE = "0af7651916cd43dd8448eb211c80319c"


def _span(span_id, parent, name, start, end, *, service="orders", error=False):
    return Span(
        trace_id=_TRACE,
        span_id=span_id,
        parent_span_id=parent,
        service=service,
        name=name,
        kind="server",
        start=start * 1_000_000,
        end=end * 1_000_000,
        error=error,
        attributes={},
    )


def _shown(spans):
    shown = io.StringIO()
    Console(file=shown, width=100).print(as_tree(spans), highlight=False)
    return [line.rstrip() for line in shown.getvalue().splitlines()]


def test_a_span_is_below_its_parent_in_the_order_of_time():
    spans = [
        _span("c", "a", "send slipway.orders", 7, 9, service="orders-worker"),
        _span("a", None, "POST /api/v1/orders", 0, 6, service="gateway"),
        _span("b", "a", "commit", 2, 5),
    ]
    assert _shown(spans) == [
        f"trace {_TRACE}: 9.0 ms, 3 spans",
        "└── +0.0 ms  gateway POST /api/v1/orders  6.0 ms",
        "    ├── +2.0 ms  orders commit  3.0 ms",
        "    └── +7.0 ms  orders-worker send slipway.orders  2.0 ms",
    ]


def test_a_span_whose_parent_is_not_known_is_shown_all_the_same():
    shown = _shown([_span("a", None, "one", 0, 1), _span("b", "z", "two", 1, 2, error=True)])
    assert shown[1:] == [
        "├── +0.0 ms  orders one  1.0 ms",
        "└── +1.0 ms  orders two  1.0 ms failed",
    ]


def test_a_name_with_brackets_is_shown_as_it_is():
    assert "GET /a[/b]" in _shown([_span("a", None, "GET /a[/b]", 0, 1)])[1]


async def test_a_trace_is_read_from_the_sink_and_an_unknown_one_is_told_from_it():
    store = SpanStore()
    store.add(_span("a", None, "one", 0, 1))
    async with listening(create_app(store)) as server:
        url = f"http://127.0.0.1:{server.config.port}"
        for given in (_TRACE.upper(), f" 00-{_TRACE}-b7ad6b7169203331-01\n"):
            assert [span.name for span in (await read_trace(url, given)).spans] == ["one"]
        with pytest.raises(SlipwayError, match=f"no span of {'f' * 32}"):
            await read_trace(url, "f" * 32)


@pytest.mark.parametrize("given", ["", "ffff", "g" * 32, _TRACE + "0", f"{_TRACE}/../x"])
async def test_what_is_no_trace_id_is_told_from_a_trace_that_is_not_there(given):
    with pytest.raises(SlipwayError, match="is not a trace's id"):
        await read_trace("http://127.0.0.1:1", given)


async def test_a_sink_that_is_not_there_is_named():
    with pytest.raises(SlipwayError, match=r"http://127\.0\.0\.1:1 gives no trace"):
        await read_trace("http://127.0.0.1:1", _TRACE)
