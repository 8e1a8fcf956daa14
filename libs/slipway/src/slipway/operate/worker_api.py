"""A client of the operators' API, which each worker serves on its internal port.

An operator's machine needs no database password, and the worker records who did what.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Self

import httpx
from pydantic import BaseModel, Field

from client import SlipwayClient
from slipway.errors import SlipwayError
from slipway.refusals import refusals_of
from slipway.services import require_known
from slipway.state import StateDirectory

_PATH = "/operations"
_SECONDS = 15.0
_PAGE = 100


class RefusedError(SlipwayError):
    """The worker rejected one call; other calls may succeed."""


class Skipped(BaseModel):
    """An item that was not changed, and the reason."""

    number: int
    reason: str


class Outcome[T: BaseModel](BaseModel):
    """The result of an action on several items."""

    dry_run: bool
    done: list[T] = Field(default_factory=list)
    skipped: list[Skipped] = Field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Access:
    """A worker's address and the caller's token.

    Attributes:
        service: whose worker.
        url: of its internal port.
        token: an access token.
    """

    service: str
    url: str
    token: str = field(repr=False)

    @classmethod
    async def find(
        cls,
        service: str,
        *,
        state: StateDirectory | None,
        url: str | None,
        token: str | None,
        login: tuple[str, str] | None,
        gateway: str | None,
    ) -> Self:
        """Return the access; take missing values from the record of the local system.

        Args:
            service: its name.
            state: where the record is; None outside a repository.
            url: of the worker's internal port.
            token: an access token.
            login: address and password of an account, in place of a token.
            gateway: where to log in.

        Raises:
            SlipwayError: says what is missing.
        """
        record = state.read() if state is not None else None
        running = record if record is not None and record.alive else None
        if url is None:
            found = [] if running is None else running.processes
            entries = {entry.name: entry.address for entry in found}
            url = entries.get(f"{service}-worker")
        if url is None:
            require_known(service)
            message = (
                f"No worker of {service} runs on this machine. Start it with `slipway up`, or give "
                "the internal port of one elsewhere: --url http://host:port."
            )
            raise SlipwayError(message)
        if token is None and login is not None:
            gateway = gateway or (running.gateway_url if running is not None else None)
            if gateway is None:
                message = (
                    "--login needs a gateway, and none runs here. Give --gateway http://host:port."
                )
                raise SlipwayError(message)
            token = await _log_in(gateway, *login)
        if token is None:
            message = (
                "This command needs an administrator's access token. Set SLIPWAY_TOKEN, or give "
                "--login EMAIL and type the password."
            )
            raise SlipwayError(message)
        return cls(service=service, url=url, token=token)


async def _log_in(gateway: str, email: str, password: str) -> str:
    with refusals_of(f"The log-in at {gateway} as {email} failed"):
        async with SlipwayClient(gateway, timeout=_SECONDS) as client:
            return (await client.login(email=email, password=password)).access_token


class WorkerApi:
    """A client of the operators' API of one worker; see ``opened``."""

    def __init__(self, access: Access, http: httpx.AsyncClient) -> None:
        self._access = access
        self._http = http

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, access: Access, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> AsyncIterator["WorkerApi"]:
        """Yield a client that connects when needed, and closes its connections on exit."""
        async with httpx.AsyncClient(
            base_url=access.url + _PATH,
            headers={"Authorization": f"Bearer {access.token}"},
            timeout=_SECONDS,
            trust_env=False,
            transport=transport,
        ) as http:
            yield cls(access, http)

    async def items(
        self, path: str, *, filters: Mapping[str, Any], limit: int | None = None
    ) -> list[Any]:
        """Return the items of a list, read page by page, at most `limit` of them.

        Args:
            path: of the list.
            filters: query parameters.
            limit: None returns all items.
        """
        found: list[Any] = []
        cursor: dict[str, str] = {}
        while limit is None or len(found) < limit:
            size = _PAGE if limit is None else min(limit - len(found), _PAGE)
            page = await self.call("GET", path, params={**filters, "limit": size, **cursor})
            found += page["items"]
            if page["next_cursor"] is None:
                break
            cursor = {"cursor": page["next_cursor"]}
        return found

    async def act[T: BaseModel](
        self,
        path: str,
        action: str,
        numbers: Iterable[int],
        *,
        shape: type[T],
        reason: str,
        rate: float,
    ) -> Outcome[T]:
        """Call an action for one number after the other; a rejected one does not stop the next.

        Args:
            path: of the list that has the numbers.
            action: the last part of the path.
            numbers: of the items.
            shape: of an item.
            reason: is recorded with each.
            rate: the maximum number per second.
        """
        outcome = Outcome[shape](dry_run=False)  # type: ignore[valid-type]  # pydantic needs the class
        loop = asyncio.get_running_loop()
        due = loop.time()
        for number in numbers:
            await asyncio.sleep(due - loop.time())
            due = max(due, loop.time()) + 1 / rate
            try:
                body = await self.call("POST", f"{path}/{number}/{action}", json={"reason": reason})
            except RefusedError as error:
                outcome.skipped.append(Skipped(number=number, reason=str(error)))
            else:
                outcome.done.append(shape.model_validate(body))
        return outcome

    async def call(
        self,
        method: str,
        path: str,
        **arguments: Any,  # noqa: ANN401 - httpx's own
    ) -> Any:  # noqa: ANN401 - JSON is anything
        """Make one call; return its JSON.

        Raises:
            RefusedError: the worker rejected this call.
            SlipwayError: no call can succeed: the address or the token is wrong.
        """
        access = self._access
        place = f"The worker of {access.service} at {access.url}"
        try:
            answer = await self._http.request(method, path, **arguments)
            body = answer.json()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            message = (
                f"{place} is unavailable: {str(error) or type(error).__name__}. --url must be "
                "its internal port (`slipway status` shows those of this machine)."
            )
            raise SlipwayError(message) from error
        except ValueError as error:
            message = f"{place} did not return JSON. --url must be a worker's internal port."
            raise SlipwayError(message) from error
        if answer.is_success:
            return body
        detail = body.get("detail", body) if isinstance(body, dict) else body
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            message = f"{place} rejects the token: {detail} Log in again with --login EMAIL."
            raise SlipwayError(message)
        if answer.status_code == HTTPStatus.FORBIDDEN:
            message = f"{place} rejects the call: {detail} Administrators have it."
            raise SlipwayError(message)
        message = f"{place} rejects the call ({answer.status_code}): {detail}"
        raise RefusedError(message)
