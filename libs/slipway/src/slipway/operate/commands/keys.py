"""The command `keys`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from slipway.guard import guard
from slipway.operate.keys import KeyFiles, make_key_files, retire_keys, rotate_keys

app = typer.Typer(help="Signing keys of access tokens.", no_args_is_help=True, add_completion=False)

_console = Console(soft_wrap=True)
_Private = Annotated[Path, typer.Option(help="The file that the users service reads.")]
_Public = Annotated[Path, typer.Option(help="The file that all services read.")]


@app.command("make")
def make_keys(private: _Private, public: _Public) -> None:
    """Create a signing key unless there is one: a private and a public JWK set."""
    made = guard(lambda: make_key_files(KeyFiles(private=private, public=public)))
    _console.print("Created a signing key" if made else "The signing keys exist already")


@app.command("rotate")
def rotate(private: _Private, public: _Public) -> None:
    """Add a new signing key to both files.

    The users service reads the files again without a restart. It signs with the new key once its
    public key has been published for AUTH_SIGNING_KEY_WAIT seconds. Tokens of the old key stay
    valid.
    """
    kid = guard(lambda: rotate_keys(KeyFiles(private=private, public=public)))
    _console.print(f"Added the signing key {kid}")
    _console.print(
        "Run `slipway keys retire` after AUTH_SIGNING_KEY_WAIT and ACCESS_TOKEN_LIFETIME "
        "have passed (docs/runbooks/keys.md)"
    )


@app.command("retire")
def retire(private: _Private, public: _Public) -> None:
    """Remove all signing keys but the newest from both files.

    Access tokens that a removed key signed are rejected within seconds. Run this once they have
    expired, or at once if a key was stolen.
    """
    removed = guard(lambda: retire_keys(KeyFiles(private=private, public=public)))
    _console.print(f"Removed: {', '.join(removed)}" if removed else "There was only one key")
