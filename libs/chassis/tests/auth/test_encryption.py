"""Values at rest are read only with the same secret, for the same purpose and context."""

import pytest
from cryptography.exceptions import InvalidTag

from chassis.auth.encryption import DerivedCipher
from chassis.auth.opaque import new_token, token_hash

SECRET = "s" * 32


def test_what_was_encrypted_is_decrypted():
    encrypted = DerivedCipher(SECRET, purpose=b"p").encrypt(b"plain", context=b"c")
    assert b"plain" not in encrypted
    assert DerivedCipher(SECRET, purpose=b"p").decrypt(encrypted, context=b"c") == b"plain"


@pytest.mark.parametrize(
    ("secret", "purpose", "context"),
    [("t" * 32, b"p", b"c"), (SECRET, b"q", b"c"), (SECRET, b"p", b"d"), (SECRET, b"p", None)],
)
def test_another_secret_purpose_or_context_decrypts_nothing(secret, purpose, context):
    encrypted = DerivedCipher(SECRET, purpose=b"p").encrypt(b"plain", context=b"c")
    with pytest.raises(InvalidTag):
        DerivedCipher(secret, purpose=purpose).decrypt(encrypted, context=context)


@pytest.mark.parametrize("place", [0, 12, -1])
def test_a_changed_byte_decrypts_nothing(place):
    changed = bytearray(DerivedCipher(SECRET, purpose=b"p").encrypt(b"plain"))
    changed[place] ^= 1
    with pytest.raises(InvalidTag):
        DerivedCipher(SECRET, purpose=b"p").decrypt(bytes(changed))


def test_one_text_is_never_encrypted_to_the_same_bytes():
    cipher = DerivedCipher(SECRET, purpose=b"p")
    assert len({cipher.encrypt(b"plain") for _ in range(100)}) == 100


def test_a_token_has_256_bits_and_any_text_has_a_hash():
    assert len({new_token() for _ in range(100)}) == 100
    assert {len(new_token()) for _ in range(10)} == {43}
    assert len(token_hash("\ud800")) == 32
