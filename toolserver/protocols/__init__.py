"""RPC protocols: bytes to calls, outcomes to bytes."""
