"""Checks that the gateway's addresses of services are those of rendered Services.

``check_addresses.py RENDERED.yaml …``. A release that is named like a service shortens that
service's name, and the gateway must know it.
"""

import sys
from urllib.parse import urlsplit

from rendering import resources_of


def main(files: list[str]) -> str | None:
    """Return what is wrong, or None."""
    for file in files:
        documents = resources_of(file)
        services = {one["metadata"]["name"] for one in documents if one["kind"] == "Service"}
        [settings] = [
            one["data"]
            for one in documents
            if one["kind"] == "ConfigMap" and "USERS_URL" in one["data"]
        ]
        addresses = {name: url for name, url in settings.items() if name.endswith("S_URL")}
        for name, url in addresses.items():
            if urlsplit(url).hostname not in services:
                return f"{file}: {name} is {url}, but the Services are {sorted(services)}."
        if len(addresses) < len({"users", "orders", "notifications"}):
            return f"{file}: the gateway has only these addresses: {addresses}"
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
