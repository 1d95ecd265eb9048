"""A client of the official SDK: ``python mcp_sdk.py URL MODE`` prints what it saw."""

import asyncio
import json
import sys

from mcp.client.client import Client


async def main(url: str, mode: str) -> dict:
    told = []

    async def heard(fraction, total, text):
        told.append([fraction, total, text])

    async with Client(url, mode=mode) as client:
        seen = {"version": client.protocol_version}
        seen["tools"] = [tool.name for tool in (await client.list_tools()).tools]
        greeted = await client.call_tool("shop.orders.greet", {"name": "Ann"})
        seen["greeted"] = [greeted.content[0].text, greeted.structured_content]
        failed = await client.call_tool("shop.orders.fail", {})
        seen["failed"] = [failed.is_error, failed.content[0].text]
        worked = await client.call_tool(
            "slow.work", {"steps": 3}, progress_callback=heard
        )
        seen["worked"] = [worked.structured_content, told]
        read = await client.read_resource("shop://items/a%20b")
        seen["read"] = read.contents[0].text
        made = await client.get_prompt("shop.orders.review", {"language": "Greek"})
        seen["prompt"] = made.messages[0].content.text
        try:
            async with asyncio.timeout(0.3):
                await client.call_tool("slow.hang", {})
        except TimeoutError:
            pass
        # The server ends the call as soon as it has heard of it.
        while not (await client.call_tool("slow.ended", {})).structured_content[
            "result"
        ]:
            await asyncio.sleep(0.02)
    return seen


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
