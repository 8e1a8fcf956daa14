"""The signing key of one machine: made once, so that tokens outlive a restart."""

from dataclasses import dataclass
from pathlib import Path

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
    if not (files.private.exists() and files.public.exists()):
        from chassis.auth.keys import generate_key_sets  # noqa: PLC0415 - heavy, and needed once

        private, public = generate_key_sets()
        write_whole(files.private, private)
        write_whole(files.public, public)
    return files
