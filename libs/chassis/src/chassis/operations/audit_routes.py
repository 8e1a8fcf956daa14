"""HTTP route that verifies the seals of the audit log, page by page."""

from typing import Annotated

from fastapi import Depends, Query
from fastapi.requests import HTTPConnection
from pydantic import Field

from chassis.audit.chain import SealMark
from chassis.audit.verification import AuditVerifier
from chassis.auth import Principal, require_scope
from chassis.http import QueryShape, Router, Shape, UnitDep

SCOPE = "ops:audit"

router = Router(prefix="/audit", tags=["audit"])

Operator = Annotated[Principal, require_scope(SCOPE)]
Mark = Annotated[str, Field(max_length=90, pattern=r"^[1-9][0-9]{0,17}:[0-9a-f]{64}$")]


class VerificationQuery(QueryShape):
    """Where to continue, and what to compare."""

    after: Annotated[
        Mark | None, Field(description="`end` of the page before; without it, from the start.")
    ] = None
    compared: Annotated[
        int | None,
        Field(ge=0, lt=2**63, description="`compared` of the page before, unless it was null."),
    ] = None
    known: Annotated[
        Mark | None,
        Field(
            description="A seal that was noted before. The last page compares the chain with it."
        ),
    ] = None


class AuditFault(Shape):
    """A sign that sealed rows were changed or removed."""

    seal: int | None = Field(description="The number of the seal; null: it belongs to none.")
    entry: int | None = Field(description="The entry's id; null: the fault is in the chain.")
    reason: str


class AuditPage(Shape):
    """What one page of the chain showed."""

    kept: bool = Field(description="Whether this service keeps an audit log.")
    seals: int
    entries: int = Field(description="How many sealed entries of this page are present.")
    faults: list[AuditFault]
    end: str | None = Field(description="The last seal of the page, as `number:hash`.")
    compared: int | None = Field(
        description="Up to which id entries were looked up in the seals; null: not begun."
    )
    more: bool = Field(
        description="Whether there is more. Pass `end` as `after`, and `compared`, unless null."
    )
    waiting: int | None = Field(description="Entries without a seal yet; null: see the last page.")


_NONE = AuditPage(
    kept=False,
    seals=0,
    entries=0,
    faults=[],
    end=None,
    compared=None,
    more=False,
    waiting=None,
)


async def _verifier(connection: HTTPConnection) -> AuditVerifier | None:
    verifier: AuditVerifier | None = connection.app.state.audit
    return verifier


VerifierDep = Annotated[AuditVerifier | None, Depends(_verifier)]


@router.get("/verification", operation_id="verifyAudit")
async def verify_audit(
    query: Annotated[VerificationQuery, Query()], _: Operator, verifier: VerifierDep, unit: UnitDep
) -> AuditPage:
    """Verify the next seals of the audit log, and the entries that they cover."""
    if verifier is None:
        return _NONE
    page = await verifier.verify_page(
        unit, after=_mark(query.after), compared=query.compared, known=_mark(query.known)
    )
    return AuditPage(
        kept=True,
        seals=page.seals,
        entries=page.entries,
        faults=[AuditFault.model_validate(fault) for fault in page.faults],
        end=None if page.end is None else str(page.end),
        compared=page.compared,
        more=page.more,
        waiting=page.waiting,
    )


def _mark(text: str | None) -> SealMark | None:
    return None if text is None else SealMark.parse(text)
