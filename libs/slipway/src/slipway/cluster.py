"""Secrets of a Kubernetes namespace, made once from inside of it.

Helm's templates can't: they make no JWK, and what they draw at random would change wherever a chart
is rendered without the cluster at hand (`helm template`, Argo CD).
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
    """How the API server is reached.

    Attributes:
        http: with base address, token and the cluster's authority.
        namespace: where the Secrets go.
    """

    http: httpx.AsyncClient
    namespace: str


def in_cluster() -> Cluster:
    """As a pod reaches it, with the token of its service account."""
    try:
        token = (_ACCOUNT / "token").read_text()
        namespace = (_ACCOUNT / "namespace").read_text()
    except OSError as error:
        message = (
            f"{error.filename} can't be read: run this in a pod, whose service account may create "
            "Secrets and whose token is mounted"
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
    """What each Secret holds when it is made, by the Secret's name.

    Args:
        keys: the Secret of the signing keys; None for none.
        passwords: ``SECRET/ENTRY``; several entries of one Secret are made together.
    """
    wanted: dict[str, Content] = {}
    entries: dict[str, list[str]] = {}
    for place in passwords:
        name, _, entry = place.partition("/")
        if not (name and entry):
            message = f"--password {place}: write SECRET/ENTRY"
            raise SlipwayError(message)
        entries.setdefault(name, []).append(entry)
    for name, names in entries.items():
        wanted[name] = partial(_passwords, names)
    if keys is not None:
        wanted[keys] = _key_sets
    return wanted


def parse_labels(texts: Iterable[str]) -> dict[str, str]:
    """Labels from ``NAME=VALUE``."""
    labels: dict[str, str] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not (name and sign):
            message = f"--label {text}: write NAME=VALUE"
            raise SlipwayError(message)
        labels[name] = value
    return labels


async def make_secrets(
    cluster: Cluster, wanted: Mapping[str, Content], *, labels: Mapping[str, str]
) -> tuple[str, ...]:
    """Create what is missing; answers the names of what was made.

    Creation alone decides who was first: nothing is read, so the role needs no right to read.

    Raises:
        SlipwayError: the API server can't be reached, or refuses.
    """
    made: list[str] = []
    async with cluster.http as http:
        for name, content in wanted.items():
            body = _manifest(name, content(), labels)
            path = f"/api/v1/namespaces/{cluster.namespace}/secrets"
            try:
                answer = await http.post(path, json=body)
            except httpx.HTTPError as error:
                message = f"the API server at {http.base_url} can't be reached: {error!r}"
                raise SlipwayError(message) from error
            if answer.status_code == _CREATED:
                made.append(name)
            elif answer.status_code != _CONFLICT:
                message = (
                    f"Secret {name} can't be made in {cluster.namespace}: the API server answered "
                    f"{answer.status_code} {answer.text[:300]}"
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
