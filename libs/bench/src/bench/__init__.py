"""`make bench`: measures the system's performance, as ratios to peers in the same run."""
