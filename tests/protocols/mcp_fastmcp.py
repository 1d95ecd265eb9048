"""A client of FastMCP: ``python mcp_fastmcp.py URL MODE`` prints what it saw."""

import asyncio
import json
import sys

from fastmcp import Client
from fastmcp.exceptions import ToolError


async def main(url, mode):
    told, lines = [], []

    async def heard(fraction, total, text):
        told.append([fraction, total, text])

    async def logged(message):
        lines.append([message.level, message.data])

    async with Client(url, mode=mode, log_handler=logged) as client:
        seen = {"version": client.protocol_version}
        seen["tools"] = [tool.name for tool in await client.list_tools()]
        greeted = await client.call_tool("shop.orders.greet", {"name": "Ann"})
        seen["greeted"] = [greeted.content[0].text, greeted.data.result]
        counted = await client.call_tool("shop.orders.count", {"item": "pen"})
        seen["counted"] = counted.structured_content
        try:
            await client.call_tool("shop.orders.fail")
        except ToolError as error:
            seen["failed"] = str(error)
        if mode == "legacy":
            await client.set_logging_level("info")
            meta = None
        else:
            meta = {"io.modelcontextprotocol/logLevel": "info"}
        worked = await client.call_tool(
            "slow.work", {"steps": 3}, progress_handler=heard, meta=meta
        )
        seen["worked"] = [worked.data.result, told]
        seen["logged"] = lines
        (read,) = await client.read_resource("shop://items/a%20b")
        seen["read"] = read.text
        templates = await client.list_resource_templates()
        seen["templates"] = [str(each.uri_template) for each in templates]
        made = await client.get_prompt("shop.orders.review", {"language": "Greek"})
        seen["prompt"] = made.messages[0].content.text
        seen["cancelled"] = False
        try:
            await client.call_tool("slow.hang", timeout=0.3)
        except Exception:  # which one depends on the mode
            seen["cancelled"] = True
        while not (await client.call_tool("slow.ended")).data.result:
            await asyncio.sleep(0.02)
    return seen


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
