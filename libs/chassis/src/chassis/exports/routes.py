"""The route at which a service returns what it holds of the caller. Only the gateway requests it.

The gateway has no entry for the path. It merges the parts of all services, and sends all or none.
"""

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import Request, Response
from pydantic import BaseModel, create_model

from chassis.auth.principal import Principal, require_scope
from chassis.database.unit import Unit
from chassis.errors import Conflict
from chassis.exports.declared import Export
from chassis.http import Router, UnitDep, problems
from chassis.http.caching import NO_STORE
from chassis.http.limits import MAX_EXPORT_BYTES
from chassis.wire_names import JSON
from chassis.wiring import ServiceResources, resource

PATH = "/exports/me"

# All statements see one state, so that an order and its history fit together.
_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"


def _all(resources: ServiceResources) -> ServiceResources:
    return resources


_Resources = Annotated[Any, resource(_all)]


class ExportTooLarge(Conflict):
    """There is too much data for one export."""


async def export_of[R: ServiceResources](
    exports: Sequence[Export[R]],
    unit: Unit,
    resources: R,
    person: UUID,
    *,
    max_bytes: int = MAX_EXPORT_BYTES,
) -> bytes:
    """Return all that `exports` read of a person, as a JSON object with a list for each export.

    Args:
        exports: the exports of the service.
        unit: a transaction without a statement so far.
        resources: the resources of the process.
        person: the user's id.
        max_bytes: the largest size of the object.

    Raises:
        ExportTooLarge: the object would be larger than `max_bytes`.
    """
    await unit.execute_first(_SNAPSHOT)
    written = bytearray()
    for export in exports:
        written += b'%b"%b":[' % (b"," if written else b"{", export.name.encode())
        separator = b""
        async for item in export.read(unit, resources, person):
            written += separator + export.shown(item).model_dump_json().encode()
            separator = b","
            if len(written) > max_bytes:
                message = (
                    f"The data of user {person} have more than {max_bytes} bytes, which is the "
                    "limit of an export. Ask support for it, or read the lists page by page."
                )
                raise ExportTooLarge(message)
        written += b"]"
    written += b"}" if written else b"{}"
    return bytes(written)


def export_router[R: ServiceResources](service: str, exports: Sequence[Export[R]]) -> Router:
    """Return the router with the export of a service.

    Args:
        service: the service's name, for the name of the response's schema.
        exports: all exports of the service.
    """
    router = Router(tags=["exports"])
    scopes = sorted({export.scope for export in exports if export.scope is not None})
    caller_with_scopes = Annotated[Principal, require_scope(*scopes)]

    @router.get(
        PATH,
        operation_id="exportMe",
        summary="Export what the service holds of the caller",
        description="For the gateway, which merges the parts of all services.",
        response_model=_shape(service, exports),
        responses=problems(ExportTooLarge),
    )
    async def export_me(
        request: Request, caller: caller_with_scopes, unit: UnitDep, resources: _Resources
    ) -> Response:
        # A request ends with its client only after its body was read (ADR 25). This one has none,
        # but would otherwise read for as long as the deadline lets it.
        await request.body()
        content = await export_of(exports, unit, resources, caller.user_id)
        return Response(content, media_type=JSON, headers={"Cache-Control": NO_STORE})

    return router


def _shape(service: str, exports: Sequence[Export[Any]]) -> type[BaseModel]:
    fields: dict[str, Any] = {export.name: (list[Any], ...) for export in exports}
    for export in exports:
        item = export.item
        fields[export.name] = (list[item], ...)  # type: ignore[valid-type]  # made at run time
    return create_model(
        f"{service.capitalize()}Export",
        __doc__=f"All that the service {service} holds of a person.",
        **fields,
    )
