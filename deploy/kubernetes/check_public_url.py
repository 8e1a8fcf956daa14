"""Checks which settings the chart makes of the front end's address.

``check_public_url.py RENDERED.yaml URL``.
"""

import sys
from urllib.parse import urlsplit

from rendering import resources_of


def main(rendered: str, url: str) -> str | None:
    """Return what is wrong, or None."""
    parts = urlsplit(url)
    expected: dict[str, dict[str, str | None]] = {
        "users": {
            "PASSKEY_RP_ID": parts.hostname,
            "PASSKEY_ORIGINS": f"{parts.scheme}://{parts.netloc}",
        },
        "notifications": {"PUBLIC_URL": url},
        "orders": {},
    }
    names = {name for settings in expected.values() for name in settings}
    settings_of = {
        document["metadata"]["name"]: document["data"]
        for document in resources_of(rendered)
        if document["kind"] == "ConfigMap"
    }
    for service, wanted in expected.items():
        data = settings_of[f"slipway-{service}"]
        found = {name: data[name] for name in names if name in data}
        if found != wanted:
            return f"The ConfigMap of {service} has {found}. It must have {wanted}."
    return None


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
