"""A client of the official SDK over stdio: ``python mcp_stdio.py MODE COMMAND...``."""

import asyncio
import json
import sys

from mcp import StdioServerParameters
from mcp.client.client import Client
from mcp.client.stdio import stdio_client


async def main(mode: str, command: str, *words: str) -> dict:
    told = []

    async def heard(fraction, total, text):
        told.append(text)

    parameters = StdioServerParameters(command=command, args=list(words))
    async with Client(stdio_client(parameters), mode=mode) as client:
        worked = await client.call_tool(
            "slow.work", {"steps": 3}, progress_callback=heard
        )
        greeted = await client.call_tool("shop.orders.greet", {"name": "Ann"})
        return {
            "version": client.protocol_version,
            "worked": [worked.structured_content, told],
            "greeted": greeted.content[0].text,
        }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
