"""Which protocols tests go through."""

#: Those that callers without keys may use; PickleRPC has tests of its own.
OPEN = ("JSONRPC", "RPC2", "SOAP", "REST", "MCP")
