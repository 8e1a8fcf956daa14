"""Access tokens of our profile are accepted; tokens that only look like them are not."""

import hashlib
import hmac
import json
import string
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from joserfc import jws
from joserfc.jwk import ECKey

from chassis.auth import ApiKeyGrant, InvalidTokenError, SessionGrant, TokenSigner, TokenVerifier
from chassis.auth.keys import PublicKeys, write_key_set
from chassis.auth.signing import SigningKey
from chassis.database.ids import new_id
from testkit.tokens import AUDIENCE, ISSUER

type Forge = Any  # defined in conftest.py, which can't be imported
ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
MISSING = "(missing)"
LOGGED_IN = datetime(2030, 1, 1, tzinfo=UTC)
ENDED = new_id()


def signer(forge: Forge, *, key: ECKey | None = None, **changes: Any) -> TokenSigner:
    signing = SigningKey(kid=forge.kid, key=key or forge.key)
    arguments = {"issuer": ISSUER, "audience": AUDIENCE, "lifetime": timedelta(minutes=10)}
    return TokenSigner(key=lambda: signing, **{**arguments, **changes})


def sign(signing: TokenSigner) -> str:
    return signing.sign(
        subject=new_id(), grant=SessionGrant(session_id=new_id()), roles=["customer"], scopes=["a"]
    )


def refused(verifier: TokenVerifier, token: str) -> str:
    with pytest.raises(InvalidTokenError) as error:
        verifier.verify(token)
    return str(error.value)


def test_what_was_signed_is_verified(forge: Forge, verifier: TokenVerifier):
    user, session = new_id(), new_id()
    token = signer(forge).sign(
        subject=user,
        grant=SessionGrant(session_id=session, authenticated_at=LOGGED_IN, methods=("pwd", "otp")),
        roles=["support"],
        scopes=["b:write", "a:read"],
    )
    for _ in range(2):  # the second time from the cache
        principal = verifier.verify(token)
        assert principal.user_id == user
        assert principal.session_id == session
        assert principal.roles == {"support"}
        assert principal.scopes == {"a:read", "b:write"}
        assert principal.authenticated_at == LOGGED_IN.timestamp()
        assert principal.methods == {"pwd", "otp"}
        assert principal.api_key_id is None


def test_the_token_of_an_api_key_has_no_session(forge: Forge, verifier: TokenVerifier):
    key = new_id()
    grant = ApiKeyGrant(api_key_id=key)
    token = signer(forge).sign(subject=new_id(), grant=grant, roles=[], scopes=["a:read"])
    principal = verifier.verify(token)
    assert (principal.api_key_id, principal.session_id) == (key, None)


@pytest.mark.parametrize(("limit", "seconds"), [(-1, -1), (90, 90), (600, 600), (601, 600)])
def test_a_token_expires_no_later_than_its_limit(
    forge: Forge, verifier: TokenVerifier, limit: int, seconds: int
):
    with time_machine.travel("2030-01-01T00:00:00Z", tick=False):
        token = signer(forge).sign(
            subject=new_id(),
            grant=ApiKeyGrant(api_key_id=new_id()),
            roles=[],
            scopes=[],
            not_after=LOGGED_IN + timedelta(seconds=limit),
        )
        assert verifier.verify(token).expires_at == LOGGED_IN.timestamp() + seconds


def test_a_token_is_by_a_session_or_by_an_api_key_and_never_both(
    forge: Forge, verifier: TokenVerifier
):
    assert "claim" in refused(
        verifier, forge.token(forge.header(), forge.claims(api_key=str(new_id())))
    )


@pytest.mark.parametrize("grant", [SessionGrant(session_id=ENDED), ApiKeyGrant(api_key_id=ENDED)])
def test_the_token_of_an_ended_session_or_api_key_is_refused(
    forge: Forge, jwks_file: Path, grant: SessionGrant | ApiKeyGrant
):
    keys = PublicKeys(jwks_file)
    verifier = TokenVerifier(keys=keys, issuer=ISSUER, audience=AUDIENCE, revoked={ENDED})
    token = signer(forge).sign(subject=new_id(), grant=grant, roles=[], scopes=[])
    assert "has ended" in refused(verifier, token)


def test_a_principal_is_checked_without_its_token(forge: Forge, verifier: TokenVerifier):
    with time_machine.travel("2030-01-01T00:00:00Z", tick=False) as clock:
        principal = verifier.verify(sign(signer(forge)))
        clock.shift(timedelta(minutes=10, seconds=4))
        verifier.check(principal)  # within the allowed clock skew
        clock.shift(timedelta(seconds=1))
        with pytest.raises(InvalidTokenError, match="expired"):
            verifier.check(principal)


def test_a_key_that_is_withdrawn_ends_what_it_signed_also_from_memory(
    forge: Forge, jwks_file: Path
):
    keys = PublicKeys(jwks_file, check_seconds=0)
    verifier = TokenVerifier(keys=keys, issuer=ISSUER, audience=AUDIENCE)
    token = sign(signer(forge))
    principal = verifier.verify(token)
    assert principal.key_id == forge.kid
    other = ECKey.generate_key("P-256")
    jwks_file.write_text(json.dumps({"keys": [{**other.as_dict(private=False), "kid": "new"}]}))
    assert "key that signed the access token is unknown" in refused(verifier, token)
    with pytest.raises(InvalidTokenError, match="withdrawn"):
        verifier.check(principal)


def test_a_token_made_by_hand_is_valid_until_something_is_changed(
    forge: Forge, verifier: TokenVerifier
):
    """The refusals below depend on this: without the one change, all their tokens would pass."""
    verifier.verify(forge.token(forge.header(), forge.claims()))
    verifier.verify(forge.token(forge.header(), forge.claims(aud=["x", AUDIENCE])))


def test_a_token_expires_also_from_memory(forge: Forge, verifier: TokenVerifier):
    with time_machine.travel("2030-01-01T00:00:00Z", tick=False) as clock:
        token = sign(signer(forge))
        clock.shift(timedelta(minutes=10, seconds=4))
        verifier.verify(token)  # within the allowed clock skew
        clock.shift(timedelta(seconds=1))
        assert "expired" in refused(verifier, token)
        assert "expired" in refused(verifier, token)


@pytest.mark.parametrize("changes", [{"issuer": "http://evil"}, {"audience": "another"}])
def test_another_issuer_or_audience(forge: Forge, verifier: TokenVerifier, changes: dict[str, Any]):
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
    # 64 bytes leave 4 unused bits.
    other_bits = token[:-1] + ALPHABET[ALPHABET.index(token[-1]) ^ 1]
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


@pytest.mark.parametrize(
    "name", ["iss", "aud", "sub", "sid", "scope", "roles", "iat", "exp", "auth_time", "amr"]
)
@pytest.mark.parametrize(
    "value", [MISSING, None, 5, True, 1e400, {}, {"a": 1}, [5], [None], "x\0", "9" * 30], ids=str
)
def test_claims_missing_or_of_a_wrong_type(
    forge: Forge, verifier: TokenVerifier, name: str, value: object
):
    claims = forge.claims(**{name: value})
    if value == MISSING:
        del claims[name]
    if (name == "scope" and isinstance(value, str)) or (name == "auth_time" and value == 5):
        return  # any text may be a scope, and the log-in may be long ago
    refused(verifier, forge.token(forge.header(), claims))


def test_a_time_with_a_fraction_is_a_time(forge: Forge, verifier: TokenVerifier):
    """A NumericDate may have a fraction (RFC 7519 §2)."""
    claims = forge.claims()
    verifier.verify(forge.token(forge.header(), {**claims, "exp": claims["exp"] + 0.5}))


@pytest.mark.parametrize("claim", ["iat", "nbf"])
def test_a_token_of_the_future_is_refused(forge: Forge, verifier: TokenVerifier, claim: str):
    with time_machine.travel("2030-01-01T00:00:00Z", tick=False):
        now = forge.claims()["iat"]
        verifier.verify(forge.token(forge.header(), forge.claims(**{claim: now + 5})))
        token = forge.token(forge.header(), forge.claims(**{claim: now + 6}))
        assert "iat, nbf" in refused(verifier, token)


@pytest.mark.parametrize("value", [None, True, "1", [], 1e400], ids=str)
def test_a_start_of_a_wrong_type_is_refused(forge: Forge, verifier: TokenVerifier, value: object):
    refused(verifier, forge.token(forge.header(), forge.claims(nbf=value)))


def test_a_token_that_would_outlive_all_that_are_issued_is_refused(
    forge: Forge, verifier: TokenVerifier
):
    with time_machine.travel("2030-01-01T00:00:00Z", tick=False) as clock:
        now = forge.claims()["iat"]
        verifier.verify(forge.token(forge.header(), forge.claims(exp=now + 605)))
        tokens = [forge.token(forge.header(), forge.claims(exp=now + n)) for n in (606, 10**10)]
        tokens.append(forge.token(forge.header(), forge.claims(iat=now - 6)))
        for token in tokens:
            assert "(exp)" in refused(verifier, token)
        clock.shift(timedelta(minutes=5))
        for token in tokens:
            assert "(exp)" in refused(verifier, token)


def test_the_lifetime_that_is_accepted_is_the_issuers(forge: Forge, jwks_file: Path):
    keys = PublicKeys(jwks_file)
    token = sign(signer(forge, lifetime=timedelta(minutes=50)))

    def of_lifetime(minutes: int) -> TokenVerifier:
        return TokenVerifier(
            keys=keys, issuer=ISSUER, audience=AUDIENCE, lifetime=timedelta(minutes=minutes)
        )

    refused(of_lifetime(49), token)
    of_lifetime(50).verify(token)


def keys_in(file: Path, **keys: ECKey) -> None:
    """Replace the file by a JWK set, as Kubernetes replaces a mounted Secret."""
    new = file.with_suffix(".new")
    new.write_text(write_key_set(keys, private=False))
    new.replace(file)


@pytest.fixture
def changing(jwks_file: Path) -> TokenVerifier:
    """Return a verifier that checks its key file before each token."""
    keys = PublicKeys(jwks_file, check_seconds=0)
    return TokenVerifier(keys=keys, issuer=ISSUER, audience=AUDIENCE)


def test_a_key_that_is_withdrawn_between_two_uses_of_a_token_ends_the_token(
    forge: Forge, changing: TokenVerifier, jwks_file: Path
):
    token = sign(signer(forge))
    changing.verify(token)
    keys_in(jwks_file, other=ECKey.generate_key("P-256"))
    for _ in range(2):
        assert "is unknown" in refused(changing, token)
    keys_in(jwks_file, **{forge.kid: forge.key})
    changing.verify(token)  # the key is back, for example because the file was rolled back


def test_a_key_that_is_replaced_under_its_name_ends_the_tokens_of_the_former_one(
    forge: Forge, changing: TokenVerifier, jwks_file: Path
):
    token = sign(signer(forge))
    changing.verify(token)
    keys_in(jwks_file, **{forge.kid: ECKey.generate_key("P-256")})
    assert "signature" in refused(changing, token)


def test_keys_that_come_and_go_beside_it_cost_a_remembered_token_no_second_signature_check(
    forge: Forge, changing: TokenVerifier, jwks_file: Path
):
    token = sign(signer(forge))
    first = changing.verify(token)
    keys_in(jwks_file, other=ECKey.generate_key("P-256"), **{forge.kid: forge.key})
    assert changing.verify(token) is first


def test_what_is_remembered_is_bounded(forge: Forge, jwks_file: Path):
    keys = PublicKeys(jwks_file)
    verifier = TokenVerifier(keys=keys, issuer=ISSUER, audience=AUDIENCE, remembered=2)
    tokens = [sign(signer(forge)) for _ in range(4)]
    for token in tokens:
        verifier.verify(token)
    assert list(verifier._cache) == tokens[2:]
