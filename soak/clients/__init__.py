"""The clients: what each protocol is driven by."""

from __future__ import annotations

from soak.clients.agents import EarlyMCPClient, MCPClient
from soak.clients.base import Client
from soak.clients.lasting import JobClient, KeyedClient, SharedClient
from soak.clients.named import (
    BasicClient,
    ChallengeClient,
    PickleClient,
    SignedClient,
)
from soak.clients.rpc import (
    EncodedSOAPClient,
    JSONRPCClient,
    LiteralSOAPClient,
    XMLRPCClient,
)
from soak.clients.web import PagesClient, RESTClient

__all__ = ["CLIENTS"]

CLIENTS: tuple[type[Client], ...] = (
    *(RESTClient, PagesClient, XMLRPCClient, LiteralSOAPClient, EncodedSOAPClient),
    *(JSONRPCClient, MCPClient, EarlyMCPClient, PickleClient, SignedClient),
    *(BasicClient, ChallengeClient, JobClient, KeyedClient, SharedClient),
)
