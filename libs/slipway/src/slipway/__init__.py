"""The slipway command: starts, watches and shows the whole system on one machine."""
