"""The signing key of one machine: made once, so that tokens outlive a restart."""

from dataclasses import dataclass
from pathlib import Path

from slipway.errors import SlipwayError
from slipway.state import StateDirectory, write_whole


@dataclass(frozen=True, kw_only=True)
class KeyFiles:
    """Where the two JWK sets are: the private one for users, the public one for everybody."""

    private: Path
    public: Path


def make_keys(state: StateDirectory) -> KeyFiles:
    """The key files of a state directory, made where one is missing."""
    files = KeyFiles(
        private=state.keys / "signing.jwks.json", public=state.keys / "public.jwks.json"
    )
    make_key_files(files)
    return files


def make_key_files(files: KeyFiles) -> bool:
    """Make one signing key, unless both files are there; answers whether it did."""
    if files.private.exists() and files.public.exists():
        return False
    from chassis.auth.keys import generate_key_sets  # noqa: PLC0415 - heavy, and needed once

    private, public = generate_key_sets()
    try:
        write_whole(files.private, private)
        write_whole(files.public, public)
    except OSError as error:
        message = f"{error.filename} can't be written: {error.strerror}"
        raise SlipwayError(message) from error
    return True
