"""The codes of authenticator apps (RFC 6238), and the encryption of their secrets."""

import base64
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import ValidationError

from chassis.auth.secret_keys import UnknownKeyError
from chassis.database import new_id
from testkit.authenticator import code_of
from users.settings import UsersSettings
from users.totp.models import SecretKeys, matching_step, provisioning_uri

RFC_SECRET = b"12345678901234567890"
OLD, NEW = "o" * 32, "n" * 32


# RFC 6238, appendix B, SHA-1: the last six of the eight digits.
@pytest.mark.parametrize(
    ("at", "code"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_the_codes_are_those_of_rfc_6238(at, code):
    assert matching_step(RFC_SECRET, code, now=at, after=None) == at // 30


@pytest.mark.parametrize(
    ("behind", "accepted"), [(-60, False), (-30, True), (0, True), (30, True), (60, False)]
)
def test_the_clock_of_the_app_may_be_one_period_off(behind, accepted):
    code = code_of(base64.b32encode(RFC_SECRET), at=1_000_000 - behind)
    step = matching_step(RFC_SECRET, code, now=1_000_000, after=None)
    assert step == ((1_000_000 - behind) // 30 if accepted else None)


def test_no_code_of_an_accepted_or_an_earlier_period_is_accepted():
    present = 1_000_000 // 30
    codes = [
        code_of(base64.b32encode(RFC_SECRET), at=step * 30)
        for step in range(present - 1, present + 2)
    ]
    found = [matching_step(RFC_SECRET, code, now=1_000_000, after=present) for code in codes]
    assert found == [None, None, present + 1]


@pytest.mark.parametrize("text", ["12345", "1234567", "१२३४५६", "", "\ud800" * 6])
def test_other_texts_are_no_codes(text):
    assert matching_step(RFC_SECRET, text, now=1_000_000, after=None) is None


def test_the_uri_is_what_authenticator_apps_read():
    uri = urlsplit(provisioning_uri(RFC_SECRET, email="ada+x@example.com", issuer="slipway"))
    assert (uri.scheme, uri.netloc) == ("otpauth", "totp")
    assert uri.path == "/slipway:ada%2Bx%40example.com"
    assert parse_qs(uri.query) == {
        "secret": [base64.b32encode(RFC_SECRET).decode()],
        "issuer": ["slipway"],
        "algorithm": ["SHA1"],
        "digits": ["6"],
        "period": ["30"],
    }


def test_a_secret_is_of_no_use_in_another_account_or_with_another_key():
    user_id = new_id()
    sealed = SecretKeys([OLD]).seal(RFC_SECRET, owner=user_id)
    assert SecretKeys([NEW, OLD]).unseal(sealed, owner=user_id) == RFC_SECRET
    with pytest.raises(UnknownKeyError):
        SecretKeys([OLD]).unseal(sealed, owner=new_id())
    with pytest.raises(UnknownKeyError):
        SecretKeys([NEW]).unseal(sealed, owner=user_id)


@pytest.mark.parametrize("keys", ["short", f"{NEW} short"])
def test_a_short_key_is_refused(settings, keys):
    with pytest.raises(ValidationError, match="at least 32 characters"):
        UsersSettings.model_validate({**settings.model_dump(), "totp_keys": keys})
