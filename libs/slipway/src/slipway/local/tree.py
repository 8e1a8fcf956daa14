"""Show one trace as a tree: which span caused which, when each began, and how long it took."""

from collections.abc import Iterable, Sequence

import httpx
from rich.markup import escape
from rich.tree import Tree

from slipway.errors import SlipwayError
from slipway.local.spans import Span, Trace

_MILLISECOND = 1_000_000


async def read_trace(traces_url: str, trace_id: str) -> Trace:
    """Return the spans of a trace.

    Args:
        traces_url: the address of the trace sink.
        trace_id: 32 hexadecimal digits.

    Raises:
        SlipwayError: the sink has no span of this trace, or does not respond.
    """
    try:
        async with httpx.AsyncClient(timeout=10, trust_env=False) as http:
            response = await http.get(f"{traces_url}/traces/{trace_id.lower()}")
            response.raise_for_status()
    except httpx.HTTPError as error:
        message = f"The trace sink at {traces_url} gives no trace: {error!r}"
        raise SlipwayError(message) from error
    trace = Trace.model_validate_json(response.content)
    if not trace.spans:
        message = (
            f"The trace sink has no span of {trace_id}. It keeps the last 5,000 spans of sampled "
            "traces, which processes send every few seconds. The id has 32 hexadecimal digits: the "
            "second part of a `traceparent`, or `trace_id` of a log line."
        )
        raise SlipwayError(message)
    return trace


def as_tree(spans: Sequence[Span]) -> Tree:
    """Return the tree of the spans of one trace; there is at least one.

    A span whose parent is unknown is below the root: its parent was not sampled, or not sent yet.
    """
    ids = {span.span_id for span in spans}
    children: dict[str | None, list[Span]] = {}
    for span in sorted(spans, key=lambda span: span.start):
        parent = span.parent_span_id if span.parent_span_id in ids else None
        children.setdefault(parent, []).append(span)
    first = min(span.start for span in spans)
    last = max(span.end for span in spans)
    tree = Tree(f"trace {spans[0].trace_id}: {_milliseconds(last - first)}, {len(spans)} spans")
    _grow(tree, children[None], children, first)
    return tree


def _grow(
    tree: Tree, spans: Iterable[Span], children: dict[str | None, list[Span]], first: int
) -> None:
    for span in spans:
        failed = " [red]failed[/red]" if span.error else ""
        begun, took = _milliseconds(span.start - first), _milliseconds(span.end - span.start)
        text = f"+{begun}  [bold]{escape(span.service)}[/bold] {escape(span.name)}  {took}{failed}"
        _grow(tree.add(text), children.get(span.span_id, ()), children, first)


def _milliseconds(nanoseconds: int) -> str:
    return f"{nanoseconds / _MILLISECOND:.1f} ms"
