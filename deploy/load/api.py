"""What every user of the load does: requests from an address of its own, and log-ins."""

import itertools
import math
import os
import time
from typing import Any

from locust import FastHttpUser
from locust.exception import RescheduleTask

PASSWORD = "correct horse battery"  # noqa: S105 - of accounts that last as long as the load
_RENEW_SECONDS = 480  # an access token is valid for ten minutes
_numbers = itertools.count()


class ApiUser(FastHttpUser):
    """A user of the API behind a load balancer that tells its address.

    The rate limits of registrations and log-ins count by address, so each user has one.
    """

    abstract = True
    connection_timeout = 10.0
    network_timeout = 10.0

    def __init__(self, environment: Any) -> None:  # noqa: ANN401 - locust's own type has no export
        super().__init__(environment)
        self.token = ""
        self._token_at = -math.inf
        self._email = self._password = ""
        self.move()

    def move(self) -> None:
        """Come from another address from now on."""
        number = next(_numbers)
        self.address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"

    def ask(
        self,
        method: str,
        path: str,
        name: str,
        *,
        json: object = None,
        headers: dict[str, str] | None = None,
        as_user: bool = True,
    ) -> Any:  # noqa: ANN401 - JSON
        """Send a request of the route class `name` and return its JSON; a failure ends the task."""
        sent = {"X-Forwarded-For": self.address, **(headers or {})}
        if as_user:
            sent["Authorization"] = f"Bearer {self.token}"
        response = self.client.request(method, f"/api/v1{path}", name=name, json=json, headers=sent)
        if not 0 < response.status_code < 400:  # noqa: PLR2004 - the first status of an error
            raise RescheduleTask
        return response.json()

    def register(self, email: str) -> None:
        """Create an account and log in."""
        body = {"email": email, "password": PASSWORD, "full_name": "Lotte Load"}
        self.ask("POST", "/users", "register", json=body, as_user=False)
        self.log_in(email, PASSWORD)

    def log_in(self, email: str, password: str) -> None:
        """Get an access token; the one before stays in use if that fails."""
        body = {"email": email, "password": password}
        tokens = self.ask("POST", "/auth/login", "log in", json=body, as_user=False)
        self._email, self._password, self.token = email, password, tokens["access_token"]
        self._token_at = time.monotonic()

    def log_in_again(self) -> None:
        """Replace the access token."""
        self.log_in(self._email, self._password)

    @property
    def expires(self) -> bool:
        """Return whether there is no token, or one that will soon be too old."""
        return time.monotonic() - self._token_at > _RENEW_SECONDS


PACE = float(os.environ["LOAD_PACE"])
"""Steps per second of each customer."""
