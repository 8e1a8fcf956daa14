"""Show one trace as a tree: which span caused which, when each began, and how long it took."""

import re
from collections.abc import Iterable, Sequence

import httpx
from rich.markup import escape
from rich.tree import Tree

from slipway.errors import SlipwayError
from slipway.local.spans import Span, Trace

_MILLISECOND = 1_000_000


_TRACE_ID = re.compile(r"(?:[0-9a-f]{2}-)?([0-9a-f]{32})(?:-[0-9a-f]{16}-[0-9a-f]{2})?", re.ASCII)


def trace_id_in(text: str) -> str:
    """Return the trace's id, from itself or from a ``traceparent``.

    Raises:
        SlipwayError: it is neither.
    """
    found = _TRACE_ID.fullmatch(text.strip().lower())
    if found is None:
        message = (
            f"{text} is not a trace's id. It has 32 hexadecimal digits: copy `trace_id` of a log "
            "line, or a whole `traceparent`."
        )
        raise SlipwayError(message)
    return found[1]


async def read_trace(traces_url: str, trace_id: str) -> Trace:
    """Return the spans of a trace.

    Args:
        traces_url: the address of the trace sink.
        trace_id: 32 hexadecimal digits, or a ``traceparent``.

    Raises:
        SlipwayError: the id is not valid, the sink has no span of this trace, or does not respond.
    """
    trace_id = trace_id_in(trace_id)
    try:
        async with httpx.AsyncClient(timeout=10, trust_env=False) as http:
            response = await http.get(f"{traces_url}/traces/{trace_id}")
            response.raise_for_status()
    except httpx.HTTPError as error:
        message = f"The trace sink at {traces_url} gives no trace: {error!r}"
        raise SlipwayError(message) from error
    trace = Trace.model_validate_json(response.content)
    if not trace.spans:
        message = (
            f"The trace sink has no span of {trace_id}. Processes send spans every half second: "
            "wait a moment, and try again. It keeps the last 20,000 spans, of sampled traces only."
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
