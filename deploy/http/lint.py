"""Lint HTTP responses with httplint: ``lint.py < EXCHANGES``; prints the notes as JSON.

Each line of the input is an exchange: ``name``, ``method``, ``uri`` and ``fields`` of
the request, ``at``, the time when it was sent, and ``response``, its bytes in base64 as they came
from the connection.
"""

import base64
import json
import sys
from typing import Any

from httplint import HttpRequestLinter, HttpResponseLinter


def notes_of(exchange: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return the level, the subject and the summary of each note on a response."""
    request = HttpRequestLinter()
    method, uri = exchange["method"].encode(), exchange["uri"].encode()
    request.process_request_topline(method, uri, b"1.1")
    request.process_headers([(name.encode(), value.encode()) for name, value in exchange["fields"]])
    request.finish_content(complete=True)
    head, _, content = base64.b64decode(exchange["response"]).partition(b"\r\n\r\n")
    start, *lines = head.split(b"\r\n")
    version, status, phrase = (*start.split(b" ", 2), b"")[:3]
    fields = [tuple(line.split(b":", 1)) for line in lines]
    bodyless = method == b"HEAD" or status in (b"204", b"304")
    response = HttpResponseLinter(start_time=exchange["at"], _related=request, no_content=bodyless)
    response.base_uri = exchange["uri"]
    response.process_response_topline(version.rpartition(b"/")[2], status, phrase)
    response.process_headers([(name, value.strip()) for name, value in fields])
    if content and not bodyless:
        response.feed_content(content)
    response.finish_content(complete=True)
    return [
        (note.level.value, note.subject, note.summary)
        for whole in response.notes
        for note in (whole, *whole.subnotes)
    ]


for line in sys.stdin:
    exchange = json.loads(line)
    json.dump({"name": exchange["name"], "notes": notes_of(exchange)}, sys.stdout)
    sys.stdout.write("\n")
