"""A prompt inside the running server, for its owner."""
