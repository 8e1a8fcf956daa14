"""A client of the operators' API, which each worker serves on its internal port.

No password of a database is needed on an operator's machine, and the worker records who did what.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Self

import httpx

from client import SlipwayClient
from slipway.errors import SlipwayError
from slipway.refusals import refusals_of
from slipway.state import StateDirectory

_PATH = "/operations"
_SECONDS = 15.0


class RefusedError(SlipwayError):
    """The worker refused one call; others may go well."""


@dataclass(frozen=True, kw_only=True)
class Access:
    """Which worker, and as whom.

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
        """Find what was not given in the record of the system that runs here.

        Args:
            service: users, orders or notifications.
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
            message = (
                f"no worker of {service} runs here: `slipway up` starts one, or --url "
                "http://host:port names the internal port of one elsewhere"
            )
            raise SlipwayError(message)
        if token is None and login is not None:
            gateway = gateway or (running.gateway_url if running is not None else None)
            if gateway is None:
                message = "--login needs the gateway: give --gateway http://host:port"
                raise SlipwayError(message)
            token = await _log_in(gateway, *login)
        if token is None:
            message = (
                "an access token of an administrator is needed: set SLIPWAY_TOKEN, or give "
                "--login EMAIL and type the password"
            )
            raise SlipwayError(message)
        return cls(service=service, url=url, token=token)


async def _log_in(gateway: str, email: str, password: str) -> str:
    with refusals_of(f"can't log in at {gateway} as {email}"):
        async with SlipwayClient(gateway, timeout=_SECONDS, trust_env=False) as client:
            return (await client.login(email=email, password=password)).access_token


class WorkerApi:
    """The operators' API of one worker; see ``opened``."""

    def __init__(self, access: Access, http: httpx.AsyncClient) -> None:
        self._access = access
        self._http = http

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, access: Access, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> AsyncIterator["WorkerApi"]:
        """Open connections when they are needed, and close them when left."""
        async with httpx.AsyncClient(
            base_url=access.url + _PATH,
            headers={"Authorization": f"Bearer {access.token}"},
            timeout=_SECONDS,
            trust_env=False,
            transport=transport,
        ) as http:
            yield cls(access, http)

    async def call(
        self,
        method: str,
        path: str,
        **arguments: Any,  # noqa: ANN401 - httpx's own
    ) -> Any:  # noqa: ANN401 - JSON is anything
        """Make one call; answers its JSON.

        Raises:
            RefusedError: the worker refused this one thing.
            SlipwayError: no call can go well: the address or the token is wrong.
        """
        access = self._access
        place = f"the worker of {access.service} at {access.url}"
        try:
            answer = await self._http.request(method, path, **arguments)
            body = answer.json()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            message = (
                f"{place} can't be asked: {str(error) or type(error).__name__}. --url must name "
                "its internal port (`slipway status` shows those of this machine)"
            )
            raise SlipwayError(message) from error
        except ValueError as error:
            message = f"{place} answered no JSON: --url must name a worker's internal port"
            raise SlipwayError(message) from error
        if answer.is_success:
            return body
        detail = body.get("detail", body) if isinstance(body, dict) else body
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            message = f"{place} takes no such token: {detail}. Log in anew: --login EMAIL"
            raise SlipwayError(message)
        if answer.status_code == HTTPStatus.FORBIDDEN:
            message = f"{place} refuses: {detail}, which administrators have"
            raise SlipwayError(message)
        message = f"{place} refuses ({answer.status_code}): {detail}"
        raise RefusedError(message)
