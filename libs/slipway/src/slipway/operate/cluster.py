"""Creates the Secrets of a Kubernetes namespace, once, from a pod inside it.

Helm's templates can't: they can't make a JWK, and their random values would change whenever a chart
is rendered without access to the cluster (`helm template`, Argo CD).
"""

import base64
import secrets
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from chassis.auth.keys import generate_key_sets
from slipway.errors import SlipwayError

PRIVATE_ENTRY = "signing.jwks.json"
PUBLIC_ENTRY = "public.jwks.json"
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_API = "https://kubernetes.default.svc"
_CREATED, _CONFLICT = 201, 409

type Content = Callable[[], Mapping[str, str]]


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """The connection to the API server.

    Attributes:
        http: a client with base address, token and the cluster's CA.
        namespace: the namespace of the Secrets.
    """

    http: httpx.AsyncClient
    namespace: str


def in_cluster() -> Cluster:
    """Return the connection of a pod, with the token of its service account."""
    try:
        token = (_ACCOUNT / "token").read_text()
        namespace = (_ACCOUNT / "namespace").read_text()
    except OSError as error:
        message = (
            f"{error.filename} can't be read. Run this in a pod whose service account may create "
            "Secrets, with its token mounted."
        )
        raise SlipwayError(message) from error
    http = httpx.AsyncClient(
        base_url=_API,
        headers={"Authorization": f"Bearer {token}"},
        verify=ssl.create_default_context(cafile=str(_ACCOUNT / "ca.crt")),
        timeout=15,
        trust_env=False,
    )
    return Cluster(http=http, namespace=namespace)


def wanted_secrets(*, keys: str | None, passwords: Iterable[str]) -> dict[str, Content]:
    """Return the content of each new Secret, by the Secret's name.

    Args:
        keys: the Secret of the signing keys; None for none.
        passwords: ``SECRET/ENTRY``; several entries of one Secret are made together.
    """
    wanted: dict[str, Content] = {}
    entries: dict[str, list[str]] = {}
    for place in passwords:
        name, _, entry = place.partition("/")
        if not (name and entry):
            message = f"--password {place} is not valid. Write SECRET/ENTRY."
            raise SlipwayError(message)
        entries.setdefault(name, []).append(entry)
    for name, names in entries.items():
        wanted[name] = partial(_passwords, names)
    if keys is not None:
        wanted[keys] = _key_sets
    return wanted


def parse_labels(texts: Iterable[str]) -> dict[str, str]:
    """Return labels from ``NAME=VALUE``."""
    labels: dict[str, str] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not (name and sign):
            message = f"--label {text} is not valid. Write NAME=VALUE."
            raise SlipwayError(message)
        labels[name] = value
    return labels


async def make_secrets(
    cluster: Cluster, wanted: Mapping[str, Content], *, labels: Mapping[str, str]
) -> tuple[str, ...]:
    """Create the missing Secrets; return the names of those that were created.

    A Secret that exists is detected by the failed creation. Nothing is read, so the role needs no
    right to read.

    Raises:
        SlipwayError: the API server is unavailable, or rejects a request.
    """
    made: list[str] = []
    async with cluster.http as http:
        for name, content in wanted.items():
            body = _manifest(name, content(), labels)
            path = f"/api/v1/namespaces/{cluster.namespace}/secrets"
            try:
                answer = await http.post(path, json=body)
            except httpx.HTTPError as error:
                message = (
                    f"The API server at {http.base_url} is unavailable: {error!r}. Check the "
                    "network policies of this pod, then run the command again."
                )
                raise SlipwayError(message) from error
            if answer.status_code == _CREATED:
                made.append(name)
            elif answer.status_code != _CONFLICT:
                message = (
                    f"The API server rejected the Secret {name} in {cluster.namespace}: "
                    f"{answer.status_code} {answer.text[:300]}. Check the rights of the service "
                    "account."
                )
                raise SlipwayError(message)
    return tuple(made)


def _manifest(name: str, content: Mapping[str, str], labels: Mapping[str, str]) -> dict[str, Any]:
    data = {entry: base64.b64encode(text.encode()).decode() for entry, text in content.items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "labels": dict(labels)},
        "type": "Opaque",
        "data": data,
    }


def _passwords(entries: Iterable[str]) -> Mapping[str, str]:
    return {entry: secrets.token_urlsafe(24) for entry in entries}


def _key_sets() -> Mapping[str, str]:
    private, public = generate_key_sets()
    return {PRIVATE_ENTRY: private, PUBLIC_ENTRY: public}
