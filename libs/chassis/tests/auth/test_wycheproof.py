"""Wycheproof's JSON Web Signature vectors: no invalid one is accepted, and no other algorithm.

The vectors have no claims, so they test the layer below: the compact form, the key and the
signature.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from chassis.auth import InvalidTokenError
from chassis.auth.compact import verify_compact
from chassis.auth.keys import KeyFileError, PublicKeys

FILE = Path(__file__).parent / "wycheproof" / "json_web_signature_test.json"
GROUPS = json.loads(FILE.read_text(encoding="utf-8"))["testGroups"]
# The only vectors that are valid and of our algorithm.
ACCEPTED = {18, 378}
P256 = "P-256"


def vectors() -> list[Any]:
    return [
        pytest.param(group.get("public") or group["private"], test, id=str(test["tcId"]))
        for group in GROUPS
        for test in group["tests"]
    ]


def key_set(*keys: dict[str, Any]) -> str:
    return json.dumps({"keys": [{k: v for k, v in key.items() if k != "d"} for key in keys]})


def verified(file: Path, token: str) -> bytes:
    return verify_compact(token, keys=PublicKeys(file), typ=None).payload


@pytest.mark.parametrize(("key", "test"), vectors())
def test_a_vector_with_its_own_key(tmp_path: Path, key: dict[str, Any], test: dict[str, Any]):
    """A key that is not for ES256 is refused before any token."""
    file = tmp_path / "jwks.json"
    file.write_text(key_set(key))
    if test["tcId"] in ACCEPTED:
        assert test["result"] == "valid"
        assert verified(file, test["jws"]) == b"foo"
        return
    with pytest.raises((InvalidTokenError, KeyFileError)):
        verified(file, test["jws"])


@pytest.mark.parametrize(("key", "test"), vectors())
def test_a_vector_whose_key_id_names_a_key_of_ours(
    tmp_path: Path, key: dict[str, Any], test: dict[str, Any], forge: Any
):
    """The lookup of the key finds one, so the header or the signature must be refused."""
    ours = forge.key.as_dict(private=False)
    file = tmp_path / "jwks.json"
    file.write_text(key_set({**ours, "kid": key.get("kid", "none")}))
    with pytest.raises(InvalidTokenError):
        verified(file, test["jws"])


def test_what_the_vectors_exercise():
    """The signatures of these are checked; the rest ends at the key, the form or the header."""
    found = Counter[str]()
    for group in GROUPS:
        key = group.get("public") or group["private"]
        ours = key.get("crv") == P256 and key.get("use") == "sig"
        for test in group["tests"]:
            name = "our algorithm" if ours else "restricted" if key.get("crv") == P256 else "other"
            found[f"{name}, {test['result']}"] += 1
    assert found == {
        "our algorithm, valid": 2,
        "our algorithm, invalid": 37,
        "restricted, invalid": 2,
        "other, valid": 44,
        "other, invalid": 316,
    }
