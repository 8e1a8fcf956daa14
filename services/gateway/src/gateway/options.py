"""Respond to OPTIONS for every known path, without a token.

This covers a browser's preflight request and a plain one (RFC 9110 §9.3.7). No token is needed: the
response holds only methods, which the public document holds too.
"""

from starlette.responses import Response
from starlette.types import Scope

from chassis.http.methods import allow_fields
from gateway.cors import Cors
from gateway.methods import Methods
from gateway.opaque import text_of

_WHOLE_SERVER = b"*"


class Options:
    """Responds to OPTIONS.

    Args:
        cors: makes the fields of preflight responses.
        methods: the methods that each path offers.
    """

    def __init__(self, *, cors: Cors, methods: Methods) -> None:
        self._cors = cors
        self._methods = methods

    def answer(self, scope: Scope) -> Response | None:
        """Return the response, or None for an unknown path, which is handled like other methods."""
        fields = dict(scope["headers"])
        origin = fields.get(b"origin")
        if origin is not None and b"access-control-request-method" in fields:
            answer = Response(status_code=204)
            answer.raw_headers += self._cors.preflight(origin.strip())
            return answer
        if scope["raw_path"] == _WHOLE_SERVER:
            return Response(status_code=204)
        methods = self._methods.of(text_of(scope["raw_path"]))
        if not methods:
            return None
        return Response(status_code=204, headers=allow_fields(methods))
