"""Creates the files of the signing keys once, so that tokens survive a restart; rotates them."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.errors import SlipwayError
from slipway.state import StateDirectory, locked, write_new, write_whole

if TYPE_CHECKING:
    from chassis.auth.keys import KeySet


@dataclass(frozen=True, kw_only=True)
class KeyFiles:
    """The paths of the two JWK sets: the private one for users, the public one for all."""

    private: Path
    public: Path


def make_keys(state: StateDirectory) -> KeyFiles:
    """Return the key files of a state directory; create them if one is missing."""
    files = KeyFiles(
        private=state.keys / "signing.jwks.json", public=state.keys / "public.jwks.json"
    )
    make_key_files(files)
    return files


def make_key_files(files: KeyFiles) -> bool:
    """Create a signing key unless there is one; return whether it was created.

    A private file without the public one gets it: a crash between the two leaves that. An existing
    key is never replaced, since a misspelt path would end every access token.

    Raises:
        SlipwayError: a file can't be read or written, or only the public one exists.
    """
    if files.private.exists() and files.public.exists():
        return False
    if files.public.exists() and not files.private.exists():
        message = (
            f"{files.public} exists, but its private half {files.private} does not. Correct the "
            "path, or delete the public file to start with a new key."
        )
        raise SlipwayError(message)
    from chassis.auth.keys import generate_key_sets, write_key_set  # noqa: PLC0415 - heavy

    private, _ = generate_key_sets()
    with _alone(files):
        with _writing(files.private):
            made = write_new(files.private, private)
        # Not of the new key: another process may have made one since.
        _write(files.public, write_key_set(_read(files.private), private=False))
    return made


def rotate_keys(files: KeyFiles) -> str:
    """Add a new signing key to both files, before the present one; return its id.

    The public half is written first: a crash in between leaves an unused public key, which is
    harmless.

    Raises:
        SlipwayError: a file can't be read or written, or the last rotation has not been finished.
    """
    from chassis.auth.keys import generate_key, write_key_set  # noqa: PLC0415 - heavy

    new = generate_key()
    with _alone(files):
        private, public = _read(files.private), _read(files.public)
        if len(private) > 1:
            message = (
                f"{files.private} has {len(private)} keys, so the last rotation is not finished. "
                "Run `slipway keys retire` first."
            )
            raise SlipwayError(message)
        _write(files.public, write_key_set({**new, **public}, private=False))
        _write(files.private, write_key_set({**new, **private}, private=True))
    return next(iter(new))


def retire_keys(files: KeyFiles) -> list[str]:
    """Remove all keys but the newest from both files; return the ids of those removed.

    Access tokens that a removed key signed are rejected from then on.

    Raises:
        SlipwayError: a file can't be read or written, or the newest key is not published.
    """
    from chassis.auth.keys import write_key_set  # noqa: PLC0415 - heavy

    with _alone(files):
        private, public = _read(files.private), _read(files.public)
        kid, key = next(iter(private.items()))
        if kid not in public:
            message = (
                f"{files.public} lacks the public key of {kid}, the newest private key. Add it."
            )
            raise SlipwayError(message)
        _write(files.private, write_key_set({kid: key}, private=True))
        _write(files.public, write_key_set({kid: public[kid]}, private=False))
    return [other for other in {**private, **public} if other != kid]


def _read(file: Path) -> "KeySet":
    from chassis.auth.keys import KeyFileError, read_key_set  # noqa: PLC0415 - heavy

    try:
        return read_key_set(file)
    except KeyFileError as error:
        message = f"{error} `slipway keys make` creates the first key."
        raise SlipwayError(message) from error


@contextmanager
def _alone(files: KeyFiles) -> Iterator[None]:
    """Wait until no other process changes these files, and keep others waiting.

    Both files follow from what was read of both. A rotation and the end of another at the same
    time could otherwise leave a key that signs unpublished, or one published that was removed.
    """
    with ExitStack() as stack:
        with _writing(files.private):
            stack.enter_context(locked(files.private.parent))
        yield


def _write(file: Path, text: str) -> None:
    with _writing(file):
        write_whole(file, text)


@contextmanager
def _writing(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        message = f"{file} can't be written: {error.strerror}. Correct the path or its permissions."
        raise SlipwayError(message) from error
