"""Reads processes elsewhere: over HTTPS, with a token for what stands in front of their ports.

The internal ports themselves ask for no token. Who may reach them decides the network, or a proxy
that checks one: the API server of Kubernetes, which passes requests on to pods.
"""

import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlsplit

import httpx

from slipway.errors import RemoteError, SlipwayError

_SECONDS = 10.0
_PORT = "internal"
_LABEL = "app.kubernetes.io/part-of=slipway"
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_SHOWN = 200
# Over https, a proxy of the environment only passes on what it can't read. Internal ports speak
# http, on networks that such a proxy does not reach. It does not reach this machine either.
_DIRECT = {
    "http://": None,
    "https://localhost": None,
    "https://127.0.0.1": None,
    "https://[::1]": None,
}


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """What a request elsewhere carries, and whom it trusts.

    Attributes:
        token: a bearer token; None sends none.
        ca_file: the certificates of the authority to trust; None trusts those of this machine.
    """

    token: str | None = field(default=None, repr=False)
    ca_file: Path | None = None

    @classmethod
    def of(cls, token: str | None, token_file: Path | None, ca_file: Path | None) -> Self:
        """Return the credentials; the file's token counts if both are given.

        Raises:
            SlipwayError: the file can't be read, or holds no token.
        """
        if token_file is not None:
            try:
                token = token_file.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                message = f"The token file {token_file} can't be read: {error}"
                raise SlipwayError(message) from error
            if not token:
                message = f"The token file {token_file} is empty. Write the token into it."
                raise SlipwayError(message)
        return cls(token=token, ca_file=ca_file)


class Remote:
    """Sends requests to processes elsewhere; see ``opened``."""

    def __init__(self, http: httpx.AsyncClient, token: str | None) -> None:
        self._http = http
        self._token = token

    @classmethod
    @asynccontextmanager
    async def opened(cls, credentials: Credentials) -> AsyncIterator[Self]:
        """Yield a client, and close its connections on exit.

        Raises:
            SlipwayError: the file of the authority can't be used.
        """
        try:
            trusted = ssl.create_default_context(cafile=credentials.ca_file)
        except OSError as error:  # what is no certificate is an ssl.SSLError, which is one
            message = f"The authority's file {credentials.ca_file} can't be used: {error}"
            raise SlipwayError(message) from error
        async with httpx.AsyncClient(timeout=_SECONDS, mounts=_DIRECT, verify=trusted) as http:
            yield cls(http, credentials.token)

    async def get(self, url: str) -> tuple[int, str]:
        """Return status and body of the response to a GET.

        Raises:
            RemoteError: nobody responds, or the token is refused; the text says what to do.
        """
        try:
            answer = await self._http.get(url, headers=self._headers(url))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise RemoteError(_unavailable(url, error)) from error
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            what = "the token is not valid, or expired" if self._token else "it asks for a token"
            message = f"401: {what}. Give one: --token-file, or SLIPWAY_STATUS_TOKEN."
            raise RemoteError(message)
        if answer.status_code == HTTPStatus.FORBIDDEN:
            message = f"403: the token may not read this: {_detail(answer)}"
            raise RemoteError(message)
        return answer.status_code, answer.text

    async def pods(self, cluster: str, namespace: str) -> dict[str, str]:
        """Return the addresses of the internal ports of all pods of Slipway, by the pods' names.

        Args:
            cluster: the address of the API server, which passes requests on to the pods.
            namespace: where the pods are.

        Raises:
            SlipwayError: there is no pod, or the API server refuses to list them.
        """
        place = f"{cluster.rstrip('/')}/api/v1/namespaces/{quote(namespace, safe='')}/pods"
        _, body = await self.get(f"{place}?labelSelector={quote(_LABEL)}")
        try:
            ports = {pod["metadata"]["name"]: _port(pod) for pod in json.loads(body)["items"]}
        except (ValueError, LookupError, TypeError) as error:
            message = (
                f"{place} returns no list of pods: {body[:_SHOWN]!r}. --cluster must be the API "
                "server of Kubernetes."
            )
            raise SlipwayError(message) from error
        found = {name: f"{place}/{name}:{port}/proxy" for name, port in ports.items() if port}
        if not found:
            message = (
                f"No pod of Slipway is in the namespace {namespace}. --namespace names another."
            )
            raise SlipwayError(message)
        return dict(sorted(found.items()))

    def _headers(self, url: str) -> dict[str, str]:
        if self._token is None:
            return {}
        place = urlsplit(url)
        if place.scheme != "https" and place.hostname not in _LOOPBACK:
            message = f"The token is not sent to {url}: without https, others could read it."
            raise RemoteError(message)
        return {"Authorization": f"Bearer {self._token}"}


def _port(pod: Any) -> int | None:  # noqa: ANN401 - JSON is anything
    """Return the internal port of a pod; None: it is a job's, which has none."""
    ports = [port for one in pod["spec"]["containers"] for port in one.get("ports", ())]
    return next((port["containerPort"] for port in ports if port.get("name") == _PORT), None)


def _unavailable(url: str, error: Exception) -> str:
    text = str(error) or type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return f"{url}: the certificate is not trusted: {text}. --ca-file names its authority."
    return f"{url}: unavailable: {text}"


def _detail(answer: httpx.Response) -> str:
    """Return the sentence of the API server's error, or the beginning of the body."""
    with contextlib.suppress(ValueError, LookupError, TypeError):
        return str(answer.json()["message"])
    return answer.text[:_SHOWN]
