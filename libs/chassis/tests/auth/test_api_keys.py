"""The text form of API keys."""

import re

import pytest

from chassis.auth.api_keys import is_api_key, is_well_formed, new_api_key, visible_prefix
from chassis.product import product

NAME = product().name
HEX = "0123456789abcdef"
GOOD = f"{NAME}_{HEX[:12]}_{HEX * 4}"


def test_a_key_names_the_product_and_has_256_secret_bits():
    key = new_api_key()
    assert re.fullmatch(rf"{NAME}_[0-9a-f]{{12}}_[0-9a-f]{{64}}", key)
    assert is_api_key(key)
    assert is_well_formed(key)
    assert re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", key), "not a Bearer credential (RFC 6750 §2.1)"


def test_no_two_keys_share_a_prefix_or_a_secret():
    keys = {new_api_key() for _ in range(100)}
    assert len({visible_prefix(key) for key in keys}) == 100
    assert len({key.rpartition("_")[2] for key in keys}) == 100


def test_the_visible_prefix_holds_nothing_of_the_secret():
    assert visible_prefix(GOOD) == f"{NAME}_{HEX[:12]}"


@pytest.mark.parametrize("credential", ["", "eyJhbGciOiJFUzI1NiJ9.e30.AA", NAME, f"x{GOOD}"])
def test_another_credential_is_no_api_key(credential):
    assert not is_api_key(credential)
    assert not is_well_formed(credential)


@pytest.mark.parametrize(
    "malformed",
    [
        f"{NAME}_",
        GOOD[:-1],
        f"{GOOD}0",
        f"{GOOD}\n",
        GOOD.upper().replace(NAME.upper(), NAME),
        GOOD.replace("0", "\u0660"),
        f"{GOOD[:-1]}\udcff",
        f"{NAME}_{HEX[:12]}{HEX * 4}",
    ],
)
def test_a_malformed_key_is_recognised_as_such(malformed):
    assert is_api_key(malformed)
    assert not is_well_formed(malformed)
