"""Switching mails off over HTTP, with the token of a mail in place of a log-in (RFC 8058)."""

from fastapi import Response

from chassis.http import Router, problems
from chassis.http.caching import NO_STORE
from notifications.unsubscriptions.errors import InvalidUnsubscribeToken
from notifications.unsubscriptions.schemas import Token, UnsubscriptionOut
from notifications.unsubscriptions.wiring import Unsubscriptions

router = Router(prefix="/api/v1/notifications/unsubscribe", tags=["notifications"])


@router.get(
    "",
    operation_id="getUnsubscription",
    summary="Show what the link of a mail switches off",
    responses=problems(InvalidUnsubscribeToken),
)
async def get_unsubscription(
    token: Token, unsubscriptions: Unsubscriptions, response: Response
) -> UnsubscriptionOut:
    """Whether mails of the token's category are on. It changes nothing: scanners open links."""
    _keep_none(response)
    return UnsubscriptionOut.model_validate(await unsubscriptions.find(token))


@router.post(
    "",
    operation_id="unsubscribe",
    summary="Switch mails off with the link of a mail",
    responses=problems(InvalidUnsubscribeToken),
)
async def unsubscribe(
    token: Token, unsubscriptions: Unsubscriptions, response: Response
) -> UnsubscriptionOut:
    """Switches mails of the token's category off, for its user.

    Mail programs post to it (RFC 8058), with a body that is not read. Again, it changes nothing.
    """
    _keep_none(response)
    found = await unsubscriptions.unsubscribe(token)
    return UnsubscriptionOut(category=found.category, email=False)


def _keep_none(response: Response) -> None:
    # A shared cache may keep what came without a log-in, and the query has the token.
    response.headers["Cache-Control"] = NO_STORE
