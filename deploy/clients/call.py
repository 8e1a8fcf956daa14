"""Calls of the generated Python client: ``call.py URL TOKEN``. mypy checks it in ``check.sh``."""

import sys

from generated import AuthenticatedClient, Client
from generated.api.accounts import read_me
from generated.api.catalogue import list_products
from generated.models import PageProductOut, User


def main(url: str, token: str) -> None:
    """Make one call without a token and one with it; raise if a result is not as documented."""
    page = list_products.sync(client=Client(base_url=url), limit=1)
    if not isinstance(page, PageProductOut) or page.items[0].price.amount < 0:
        message = f"no page of products, but {page}"
        raise TypeError(message)
    me = read_me.sync(client=AuthenticatedClient(base_url=url, token=token))
    if not isinstance(me, User) or "@" not in me.email:
        message = f"no account, but {me}"
        raise TypeError(message)
    sys.stdout.write("Python: both calls are as documented\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
