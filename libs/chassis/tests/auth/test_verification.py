"""Which access tokens are good: those of our profile, and none that merely look like them."""

import hashlib
import hmac
import json
import string
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from joserfc import jws
from joserfc.jwk import ECKey

from chassis.auth import InvalidTokenError, TokenSigner, TokenVerifier
from chassis.auth.keys import PublicKeys
from chassis.database.models import new_id
from chassis.testing.tokens import AUDIENCE, ISSUER

type Forge = Any  # of conftest.py, which can't be imported
ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
MISSING = "(missing)"


def signer(forge: Forge, **changes: Any) -> TokenSigner:
    arguments = {"key": forge.key, "kid": forge.kid, "issuer": ISSUER, "audience": AUDIENCE}
    return TokenSigner(**{**arguments, **changes}, lifetime=timedelta(minutes=10))


def sign(signing: TokenSigner) -> str:
    return signing.sign(subject=new_id(), session=new_id(), roles=["customer"], scopes=["a"])


def refused(verifier: TokenVerifier, token: str) -> str:
    with pytest.raises(InvalidTokenError) as error:
        verifier.verify(token)
    return str(error.value)


def test_what_was_signed_is_verified(forge: Forge, verifier: TokenVerifier):
    user, session = new_id(), new_id()
    token = signer(forge).sign(
        subject=user, session=session, roles=["support"], scopes=["b:write", "a:read"]
    )
    for _ in range(2):  # the second time from memory
        principal = verifier.verify(token)
        assert principal.user_id == user
        assert principal.session_id == session
        assert principal.roles == {"support"}
        assert principal.scopes == {"a:read", "b:write"}


def test_a_token_made_by_hand_is_good_until_something_is_changed(
    forge: Forge, verifier: TokenVerifier
):
    """What the refusals below stand on: without the one thing that is wrong, all would pass."""
    verifier.verify(forge.token(forge.header(), forge.claims()))
    verifier.verify(forge.token(forge.header(), forge.claims(aud=["x", AUDIENCE])))


def test_a_token_expires_also_from_memory(forge: Forge, verifier: TokenVerifier):
    with time_machine.travel("2030-01-01T00:00:00Z", tick=False) as clock:
        token = sign(signer(forge))
        clock.shift(timedelta(minutes=10, seconds=4))
        verifier.verify(token)  # the skew of clocks
        clock.shift(timedelta(seconds=1))
        assert "expired" in refused(verifier, token)
        assert "expired" in refused(verifier, token)


@pytest.mark.parametrize("changes", [{"issuer": "http://evil"}, {"audience": "another"}])
def test_another_issuer_or_audience(forge: Forge, verifier: TokenVerifier, changes: dict[str, str]):
    assert "iss, aud" in refused(verifier, sign(signer(forge, **changes)))


def test_another_key_under_the_same_name(forge: Forge, verifier: TokenVerifier):
    stranger = ECKey.generate_key("P-256", private=True)
    assert "signature" in refused(verifier, sign(signer(forge, key=stranger)))


@pytest.mark.parametrize(
    "changes",
    [
        {"kid": "unknown"},
        {"kid": ["the-key"]},
        {"kid": {"a": 1}},
        {"kid": None},
        {"alg": "none"},
        {"alg": "None"},
        {"alg": "HS256"},
        {"alg": "ES384"},
        {"alg": "ES256K"},
        {"alg": ["ES256"]},
        {"alg": None},
        {"typ": "JWT"},
        {"typ": "at+JWT"},
        {"typ": None},
        {"crit": ["exp"], "exp": 1},
        {"crit": []},
        {"crit": ["b64"], "b64": False},
    ],
    ids=str,
)
def test_a_header_that_is_not_ours(
    forge: Forge, verifier: TokenVerifier, changes: dict[str, object]
):
    refused(verifier, forge.token(forge.header(**changes), forge.claims()))


@pytest.mark.parametrize("name", ["kid", "alg", "typ"])
def test_a_header_that_lacks_a_member(forge: Forge, verifier: TokenVerifier, name: str):
    header = forge.header()
    del header[name]
    refused(verifier, forge.token(header, forge.claims()))


def test_a_key_that_the_token_brings_itself(forge: Forge, verifier: TokenVerifier):
    stranger = ECKey.generate_key("P-256", private=True)
    header = forge.header(jwk=stranger.as_dict(private=False))
    token = jws.serialize_compact(header, json.dumps(forge.claims()).encode(), stranger)
    assert "signature" in refused(verifier, token)


def test_no_signature_at_all(forge: Forge, verifier: TokenVerifier):
    head, body, _ = forge.token(forge.header(alg="none"), forge.claims()).split(".")
    refused(verifier, f"{head}.{body}.")
    refused(verifier, f"{head}.{body}")


def test_the_public_key_taken_as_a_shared_secret(forge: Forge, verifier: TokenVerifier):
    for secret in (forge.key.as_pem(private=False), forge.key.as_der(private=False)):
        header, body = forge.header(alg="HS256"), forge.claims()
        signing_input = ".".join(forge.encode(json.dumps(part).encode()) for part in (header, body))
        signature = hmac.new(secret, signing_input.encode(), hashlib.sha256).digest()
        refused(verifier, f"{signing_input}.{forge.encode(signature)}")


@pytest.mark.parametrize(
    "signature",
    [bytes(64), b"\xff" * 64, bytes(63), bytes(65), b"\x30\x06\x02\x01\x01\x02\x01\x01"],
    ids=["zero", "large", "short", "long", "DER"],
)
def test_signatures_out_of_range(forge: Forge, verifier: TokenVerifier, signature: bytes):
    head, body, _ = forge.token(forge.header(), forge.claims()).split(".")
    assert "signature" in refused(verifier, f"{head}.{body}.{forge.encode(signature)}")


def test_a_signature_with_bytes_behind_it(forge: Forge, verifier: TokenVerifier):
    token = forge.token(forge.header(), forge.claims())
    refused(verifier, token + "AAAA")


def test_base64url_in_a_second_spelling(forge: Forge, verifier: TokenVerifier):
    token = forge.token(forge.header(), forge.claims())
    other_bits = token[:-1] + ALPHABET[ALPHABET.index(token[-1]) ^ 1]  # 64 bytes leave 4 bits
    assert "canonical" in refused(verifier, other_bits)


@pytest.mark.parametrize("change", ["{}==", "{}\n", " {}", "{}.", ".{}", "{}.e30", "{}é", "{}\0"])
def test_characters_that_a_compact_jws_has_not(forge: Forge, verifier: TokenVerifier, change: str):
    token = forge.token(forge.header(), forge.claims())
    assert "compact JWS" in refused(verifier, change.format(token))


@pytest.mark.parametrize("segment", [0, 1, 2])
def test_padding_within(forge: Forge, verifier: TokenVerifier, segment: int):
    parts = forge.token(forge.header(), forge.claims()).split(".")
    parts[segment] += "="
    refused(verifier, ".".join(parts))


@pytest.mark.parametrize("text", ["", ".", "..", "a.b.c", "x", "e30.e30.e30", "A" * 9000])
def test_texts_that_are_no_token(verifier: TokenVerifier, text: str):
    refused(verifier, text)


def test_a_huge_token(forge: Forge, verifier: TokenVerifier):
    token = forge.token(forge.header(), forge.claims(roles=["x" * 10_000]))
    assert "compact JWS" in refused(verifier, token)


@pytest.mark.parametrize(
    "part",
    [
        b"not JSON",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b"{",
        b"[" * 5500,
        b'{"a":' * 1000,
        b"9" * 5000,
    ],
    ids=lambda part: part[:10],
)
def test_a_header_or_claims_that_are_no_json_object(
    forge: Forge, verifier: TokenVerifier, part: bytes
):
    refused(verifier, forge.raw(part, json.dumps(forge.claims()).encode()))
    refused(verifier, forge.raw(json.dumps(forge.header()).encode(), part))


@pytest.mark.parametrize("name", ["iss", "aud", "sub", "sid", "scope", "roles", "exp"])
@pytest.mark.parametrize(
    "value", [MISSING, None, 5, True, 1e400, {}, {"a": 1}, [5], [None], "x\0", "9" * 30], ids=str
)
def test_claims_missing_or_of_a_wrong_type(
    forge: Forge, verifier: TokenVerifier, name: str, value: object
):
    claims = forge.claims(**{name: value})
    if value == MISSING:
        del claims[name]
    if name == "scope" and isinstance(value, str):
        return  # any text is a scope
    refused(verifier, forge.token(forge.header(), claims))


def test_a_time_with_a_fraction_is_a_time(forge: Forge, verifier: TokenVerifier):
    """NumericDate (RFC 7519 §2) may have one."""
    claims = forge.claims()
    verifier.verify(forge.token(forge.header(), {**claims, "exp": claims["exp"] + 0.5}))


def test_what_is_remembered_is_bounded(forge: Forge, jwks_file: Path):
    keys = PublicKeys(jwks_file)
    verifier = TokenVerifier(keys=keys, issuer=ISSUER, audience=AUDIENCE, remembered=2)
    tokens = [sign(signer(forge)) for _ in range(4)]
    for token in tokens:
        verifier.verify(token)
    assert list(verifier._cache) == tokens[2:]
