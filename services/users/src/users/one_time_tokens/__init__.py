"""One-time tokens: secrets that prove that a mail arrived, each valid once and for a short time."""
