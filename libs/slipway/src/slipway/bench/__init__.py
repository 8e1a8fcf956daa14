"""`slipway bench`: what the system does in a second, as ratios to its peers in the same run."""
