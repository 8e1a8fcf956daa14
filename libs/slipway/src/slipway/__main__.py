"""`python -m slipway` is the `slipway` command, where no script of that name is on the path."""

from slipway.cli import main

main()
