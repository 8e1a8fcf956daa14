"""Which key files are accepted, and that keys rotate without a restart."""

import json
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, RSAKey

from chassis.auth.keys import KeyFileError, PublicKeys, generate_key_sets, read_key_set
from testkit.logs import own_logs


def key_set(*keys: tuple[str, Any]) -> str:
    return json.dumps({"keys": [{**key.as_dict(private=False), "kid": kid} for kid, key in keys]})


@pytest.fixture
def old() -> ECKey:
    return ECKey.generate_key("P-256")


@pytest.fixture
def file(tmp_path: Path, old: ECKey) -> Path:
    file = tmp_path / "jwks.json"
    file.write_text(key_set(("old", old)))
    return file


def replace(file: Path, text: str) -> None:
    """Replace the file, as Kubernetes replaces a mounted Secret."""
    new = file.with_suffix(".new")
    new.write_text(text)
    new.replace(file)


def test_generated_sets_fit_together_and_only_one_is_private(tmp_path: Path):
    private, public = generate_key_sets()
    for name, text in (("private", private), ("public", public)):
        (tmp_path / name).write_text(text)
    assert list(read_key_set(tmp_path / "private")) == list(read_key_set(tmp_path / "public"))
    assert "d" in json.loads(private)["keys"][0]
    assert "d" not in json.loads(public)["keys"][0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"keys": []}',
        '{"keys": 5}',
        '{"keys": [5]}',
        '{"keys": [{"kty": "EC"}]}',
        key_set(("a", ECKey.generate_key("P-384"))),
        key_set(("a", ECKey.generate_key("P-256")), ("b", ECKey.generate_key("P-521"))),
        key_set(("a", RSAKey.generate_key(2048))),
        '{"keys": [{"kid": "a", "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]}',
        '{"keys": [{"kid": "a", "kty": "oct", "k": "AAAA"}]}',
    ],
    ids=range(13),
)
def test_files_that_are_refused_are_named(tmp_path: Path, text: str):
    file = tmp_path / "jwks.json"
    file.write_text(text)
    with pytest.raises(KeyFileError, match=r"jwks\.json"):
        read_key_set(file)


def test_the_refusal_of_a_private_set_in_another_encoding_does_not_show_it(tmp_path: Path):
    """PowerShell writes UTF-16. The text goes to the log of a process that does not start."""
    file = tmp_path / "signing.json"
    file.write_text(generate_key_sets()[0], encoding="utf-16")
    with pytest.raises(KeyFileError, match="UnicodeDecodeError") as raised:
        read_key_set(file)
    assert len(str(raised.value)) < len(str(file)) + 200


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(KeyFileError, match=r"none\.json"):
        PublicKeys(tmp_path / "none.json")


def test_a_private_key_in_a_public_file_is_not_published(tmp_path: Path):
    private, _ = generate_key_sets()
    file = tmp_path / "jwks.json"
    file.write_text(private)
    assert all("d" not in key for key in PublicKeys(file).published())


def test_keys_rotate_without_a_restart(file: Path, old: ECKey):
    keys = PublicKeys(file, check_seconds=0)
    replace(file, key_set(("old", old), ("new", ECKey.generate_key("P-256"))))
    assert keys.find("new") is not None
    assert keys.find("old") is not None
    assert [key["kid"] for key in keys.published()] == ["old", "new"]


def test_the_file_is_not_looked_at_for_every_token(file: Path, old: ECKey):
    keys = PublicKeys(file, check_seconds=60)
    replace(file, key_set(("new", old)))
    assert keys.find("new") is None
    assert keys.find("old") is not None


def test_a_key_that_was_taken_away_is_not_found_any_more(file: Path):
    keys = PublicKeys(file, check_seconds=0)
    replace(file, key_set(("new", ECKey.generate_key("P-256"))))
    assert keys.find("old") is None


@pytest.mark.parametrize("half", ["", '{"keys": [{"kid": "ne', '{"keys": []}'])
def test_a_half_written_file_is_passed_over_and_read_when_whole(file: Path, old: ECKey, half: str):
    keys = PublicKeys(file, check_seconds=0)
    replace(file, half)
    assert keys.find("old") is not None
    replace(file, key_set(("new", old)))
    assert keys.find("new") is not None


def test_a_rotation_to_a_file_that_can_not_be_read_is_logged_once(file: Path, old: ECKey):
    keys = PublicKeys(file, check_seconds=0)
    with own_logs() as logged:
        replace(file, "{}")
        for _ in range(3):
            assert keys.find("old") is not None
        replace(file, key_set(("new", old)))
        assert keys.find("new") is not None
        replace(file, "{}")
        assert keys.find("new") is not None
    assert [entry["event"] for entry in logged] == ["key file not reloaded"] * 2
    assert str(file) in logged[0]["error"]


def test_a_file_that_is_removed_removes_no_key(file: Path):
    keys = PublicKeys(file, check_seconds=0)
    file.unlink()
    assert keys.find("old") is not None
