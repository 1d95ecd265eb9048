"""An agent by the official SDK that has nothing but an address and credentials for an
authorization server: ``python oauth_agent.py URL ISSUER`` prints what it was told.
"""

import asyncio
import json
import sys

import httpx2
from mcp.client.auth.extensions.client_credentials import (
    ClientCredentialsOAuthProvider,
)
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client


class Storage:
    tokens = client_info = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client_info

    async def set_client_info(self, client_info):
        self.client_info = client_info


async def main(url: str, issuer: str) -> dict:
    storage = Storage()
    provider = ClientCredentialsOAuthProvider(
        url, storage, "agent", "secret", issuer=issuer
    )
    async with (
        httpx2.AsyncClient(auth=provider, trust_env=False, timeout=20) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        tools = [tool.name for tool in (await client.list_tools()).tools]
        called = await client.call_tool("shop.orders.who", {})
        first = storage.tokens.scope
        # For this one the token does not suffice.
        robbed = await client.call_tool("bank.rob", {})
    return {
        "tools": tools,
        "who": called.structured_content["result"],
        "robbed": robbed.content[0].text,
        "scopes": [first, storage.tokens.scope],
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
