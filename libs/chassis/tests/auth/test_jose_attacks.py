"""Attacks on signed tokens (RFC 8725, RFC 9700): each starts from a token that would be valid."""

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, RSAKey

from chassis.auth import InvalidTokenError, TokenVerifier
from chassis.auth.compact import MAX_LENGTH
from chassis.auth.keys import KeyFileError, read_key_set

type Forge = Any  # defined in conftest.py, which can't be imported
STRANGER = ECKey.generate_key("P-256", private=True)
KIDS = {
    "a path": "../../../../dev/null",
    "a URL": "https://evil.example/keys",
    "SQL": "' UNION SELECT 'x",
    "a command": "key; cat /etc/passwd",
    "empty": "",
    "spaces": " the-key ",
    "other case": "THE-KEY",
    "U+0000": "the-key\0",
    "a look-alike": "the\u2010key",
    "a dunder": "__class__",
    "very long": "k" * 4000,
}


def refused(verifier: TokenVerifier, token: str) -> str:
    with pytest.raises(InvalidTokenError) as error:
        verifier.verify(token)
    return str(error.value)


def signed(forge: Forge, header: dict[str, Any], key: Any, algorithm: str) -> str:
    """Sign valid claims with any key and algorithm, under any header."""
    head, body = (forge.encode(json.dumps(part).encode()) for part in (header, forge.claims()))
    signature = jws.JWSRegistry.algorithms[algorithm].sign(f"{head}.{body}".encode(), key)
    return f"{head}.{body}.{forge.encode(signature)}"


def test_the_forge_makes_valid_tokens(forge: Forge, verifier: TokenVerifier):
    verifier.verify(signed(forge, forge.header(), forge.key, "ES256"))


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", " none"])
@pytest.mark.parametrize("signature", ["", "AA", "valid"])
def test_no_algorithm(forge: Forge, verifier: TokenVerifier, algorithm: str, signature: str):
    head, body, valid = forge.token(forge.header(alg=algorithm), forge.claims()).split(".")
    refused(verifier, f"{head}.{body}.{valid if signature == 'valid' else signature}")


def public_forms(key: ECKey) -> dict[str, bytes]:
    """Return the forms in which the public key can be found, and so be tried as a secret."""
    member = key.as_dict(private=False)
    return {
        "PEM": key.as_pem(private=False),
        "PEM without the end of line": key.as_pem(private=False).strip(),
        "DER": key.as_der(private=False),
        "JWK": json.dumps(member).encode(),
        "x": str(member["x"]).encode(),
        "nothing": b"",
    }


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512", "ES256"])
@pytest.mark.parametrize("form", public_forms(STRANGER))
def test_the_public_key_as_a_shared_secret(
    forge: Forge, verifier: TokenVerifier, algorithm: str, form: str
):
    digest = {"HS384": hashlib.sha384, "HS512": hashlib.sha512}.get(algorithm, hashlib.sha256)
    head, body, _ = forge.token(forge.header(alg=algorithm), forge.claims()).split(".")
    secret = public_forms(forge.key)[form]
    mac = hmac.new(secret, f"{head}.{body}".encode(), digest).digest()
    refused(verifier, f"{head}.{body}.{forge.encode(mac)}")


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (ECKey.generate_key("P-384", private=True), "ES384"),
        (ECKey.generate_key("P-521", private=True), "ES512"),
        (ECKey.generate_key("secp256k1", private=True), "ES256K"),
        (RSAKey.generate_key(2048, private=True), "RS256"),
        (RSAKey.generate_key(2048, private=True), "PS256"),
        (OctKey.generate_key(256), "HS256"),
    ],
    ids=["P-384", "P-521", "secp256k1", "RS256", "PS256", "HS256"],
)
def test_another_curve_or_kind_of_key(
    forge: Forge, verifier: TokenVerifier, tmp_path: Path, key: Any, algorithm: str
):
    for claimed in (algorithm, "ES256"):
        refused(verifier, signed(forge, forge.header(alg=claimed), key, algorithm))
    file = tmp_path / "others.json"
    member = key.as_dict() if isinstance(key, OctKey) else key.as_dict(private=False)
    file.write_text(json.dumps({"keys": [{**member, "kid": forge.kid}]}))
    with pytest.raises(KeyFileError):
        read_key_set(file)


@pytest.mark.parametrize(
    "typ",
    ["JWT", "jwt", "at+JWT", "AT+JWT", "application/at+jwt", "id_token", "", " at+jwt", "at+jwt "],
)
def test_a_token_for_another_use(forge: Forge, verifier: TokenVerifier, typ: str):
    assert "of type at+jwt" in refused(verifier, forge.token(forge.header(typ=typ), forge.claims()))


@pytest.mark.parametrize("kid", KIDS)
def test_a_key_id_is_only_ever_looked_up(forge: Forge, verifier: TokenVerifier, kid: str):
    for key in (forge.key, STRANGER):
        token = signed(forge, forge.header(kid=KIDS[kid]), key, "ES256")
        assert "is unknown" in refused(verifier, token)


def offers() -> dict[str, dict[str, Any]]:
    """Return header members that offer an attacker's key (RFC 7515 §4.1.2 to §4.1.6)."""
    member = {**STRANGER.as_dict(private=False), "kid": "the-key", "alg": "ES256", "use": "sig"}
    return {
        "jwk": {"jwk": member},
        "jku": {"jku": "https://evil.example/jwks.json"},
        "a local jku": {"jku": "file:///tmp/jwks.json"},
        "x5u": {"x5u": "https://evil.example/chain.pem"},
        "x5c": {"x5c": ["MIIB"]},
        "x5t": {"x5t": "AAAA", "x5t#S256": "AAAA"},
        "all": {"jwk": member, "jku": "https://evil.example", "x5u": "https://evil.example"},
    }


@pytest.mark.parametrize("offer", offers())
def test_a_key_that_the_header_offers(forge: Forge, verifier: TokenVerifier, offer: str):
    known = signed(forge, forge.header(**offers()[offer]), STRANGER, "ES256")
    assert "signature" in refused(verifier, known)
    thumbprint = STRANGER.thumbprint()
    other = signed(forge, forge.header(kid=thumbprint, **offers()[offer]), STRANGER, "ES256")
    assert "is unknown" in refused(verifier, other)


@pytest.mark.parametrize("segment", [0, 1, 2])
@pytest.mark.parametrize("change", ["{}=", "{}==", "{}====", "={}", "{}%3D", "{} ", "{}\t", "+{}"])
def test_padding_and_other_characters(
    forge: Forge, verifier: TokenVerifier, segment: int, change: str
):
    parts = forge.token(forge.header(), forge.claims()).split(".")
    parts[segment] = change.format(parts[segment])
    refused(verifier, ".".join(parts))


@pytest.mark.parametrize("spaces", range(3))
def test_the_unused_bits_of_each_segment_are_zero(
    forge: Forge, verifier: TokenVerifier, spaces: int
):
    """Other bits would be a second spelling of the same bytes, which a block list would miss."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    raw = [json.dumps(forge.header()).encode(), json.dumps(forge.claims()).encode()]
    raw = [part + b" " * spaces for part in raw]  # JSON allows them, and they change the length
    token = forge.raw(*raw)
    verifier.verify(token)
    parts = token.split(".")
    for place, part in enumerate([*raw, bytes(64)]):
        if len(part) % 3 == 0:
            continue  # no bit is unused
        last = alphabet[alphabet.index(parts[place][-1]) ^ 1]
        changed = [*parts[:place], parts[place][:-1] + last, *parts[place + 1 :]]
        assert "canonical" in refused(verifier, ".".join(changed))


@pytest.mark.parametrize("name", ["alg", "typ", "kid"])
@pytest.mark.parametrize("first", [True, False])
def test_a_member_of_the_header_that_occurs_twice(
    forge: Forge, verifier: TokenVerifier, name: str, first: bool
):
    """Two readers could differ in which of the two counts (RFC 7515 §4)."""
    good = json.dumps(forge.header())
    other = f'"{name}": "none"'
    header = f"{{{other}, {good[1:]}" if first else f"{good[:-1]}, {other}}}"
    token = forge.raw(header.encode(), json.dumps(forge.claims()).encode())
    assert "unique" in refused(verifier, token)
    same = f'{good[:-1]}, "{name}": {json.dumps(forge.header()[name])}}}'
    assert "unique" in refused(
        verifier, forge.raw(same.encode(), json.dumps(forge.claims()).encode())
    )


@pytest.mark.parametrize("claim", ["sub", "exp", "scope", "sid", "iss"])
def test_a_claim_that_occurs_twice(forge: Forge, verifier: TokenVerifier, claim: str):
    claims = forge.claims()
    text = f'{json.dumps(claims)[:-1]}, "{claim}": {json.dumps(claims[claim])}}}'
    token = forge.raw(json.dumps(forge.header()).encode(), text.encode())
    assert "unique" in refused(verifier, token)


def test_a_member_within_a_claim_that_occurs_twice(forge: Forge, verifier: TokenVerifier):
    text = json.dumps(forge.claims())[:-1] + ', "more": {"a": 1, "a": 2}}'
    token = forge.raw(json.dumps(forge.header()).encode(), text.encode())
    assert "unique" in refused(verifier, token)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-8-sig"])
def test_another_encoding_than_utf_8(forge: Forge, verifier: TokenVerifier, encoding: str):
    header, claims = json.dumps(forge.header()), json.dumps(forge.claims())
    refused(verifier, forge.raw(header.encode(encoding), claims.encode()))
    refused(verifier, forge.raw(header.encode(), claims.encode(encoding)))


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_json_does_not_have(forge: Forge, verifier: TokenVerifier, value: str):
    text = f'{json.dumps(forge.claims())[:-1]}, "more": {value}}}'
    refused(verifier, forge.raw(json.dumps(forge.header()).encode(), text.encode()))


@pytest.mark.parametrize("size", [MAX_LENGTH + 1, 100_000, 10_000_000])
def test_a_huge_token_is_not_parsed(forge: Forge, verifier: TokenVerifier, size: int):
    head, body, signature = forge.token(forge.header(), forge.claims()).split(".")
    for token in (
        f"{head}.{body}{'A' * size}.{signature}",
        f"{'A' * size}.{body}.{signature}",
        f"{head}.{body}.{'A' * size}",
        "." * size,
    ):
        assert "compact JWS" in refused(verifier, token)


def test_a_token_may_be_as_long_as_the_limit(forge: Forge, verifier: TokenVerifier):
    token = forge.token(forge.header(), forge.claims())
    room = (MAX_LENGTH - len(token)) * 3 // 4 - 20
    verifier.verify(forge.token(forge.header(), forge.claims(more="x" * room)))


@pytest.mark.parametrize("parts", [1, 2, 4, 5])
def test_other_forms_than_a_compact_signature(forge: Forge, verifier: TokenVerifier, parts: int):
    """Five parts are an encrypted token (RFC 7516), whose key anybody could choose."""
    token = forge.token(forge.header(), forge.claims())
    text = ".".join((token.split(".") * 2)[:parts])
    assert "compact JWS" in refused(verifier, text)


@pytest.mark.parametrize("flattened", [True, False])
def test_the_json_form(forge: Forge, verifier: TokenVerifier, flattened: bool):
    head, body, signature = forge.token(forge.header(), forge.claims()).split(".")
    one = {"protected": head, "signature": signature}
    form = {"payload": body, **(one if flattened else {"signatures": [one]})}
    assert "compact JWS" in refused(verifier, json.dumps(form))


@pytest.mark.parametrize(
    "changes",
    [
        {"use": "enc"},
        {"key_ops": ["encrypt"]},
        {"key_ops": []},
        {"key_ops": "verify"},
        {"alg": "ES384"},
        {"alg": "ECDH-ES"},
    ],
    ids=str,
)
def test_a_key_for_another_purpose_is_no_key_of_the_set(
    forge: Forge, tmp_path: Path, changes: dict[str, Any]
):
    file = tmp_path / "jwks.json"
    member = {**forge.key.as_dict(private=False), "kid": "k", "alg": "ES256", "use": "sig"}
    file.write_text(json.dumps({"keys": [{**member, "key_ops": ["verify"]}]}))
    assert list(read_key_set(file)) == ["k"]
    file.write_text(json.dumps({"keys": [{**member, **changes}]}))
    with pytest.raises(KeyFileError, match="not for signatures"):
        read_key_set(file)


def test_a_private_key_may_say_that_it_signs(forge: Forge, tmp_path: Path):
    file = tmp_path / "keys.json"
    member = {**forge.key.as_dict(private=True), "kid": "k", "key_ops": ["sign"]}
    file.write_text(json.dumps({"keys": [member]}))
    assert read_key_set(file)["k"].is_private
