"""Tasks by the official SDK: ``python mcp_tasks_sdk.py URL`` prints what it saw.

The SDK leaves the extension to its users, and has a place for it.
"""

import asyncio
import json
import sys
from typing import Any, ClassVar, Literal

import mcp_types as types
from mcp.client.client import Client
from mcp.client.extension import ClientExtension, ResultClaim
from pydantic import Field

TASKS = "io.modelcontextprotocol/tasks"
seen = []


class TaskHandle(types.Result):
    result_type: Literal["task"]
    task_id: str = Field(alias="taskId")
    status: str


class GetTaskResult(types.Result):
    status: str
    result: dict[str, Any] | None = None


class GetTask(types.Request[dict[str, Any], Literal["tasks/get"]]):
    method: Literal["tasks/get"] = "tasks/get"
    params: dict[str, Any]
    name_param: ClassVar[str | None] = "taskId"


async def poll(handle, context):
    seen.append(handle.status)
    while True:
        found = await context.session.send_request(
            GetTask(params={"taskId": handle.task_id}), GetTaskResult
        )
        if found.status != "working":
            seen.append(found.status)
            return types.CallToolResult.model_validate(found.result)
        await asyncio.sleep(0.02)


class Tasks(ClientExtension):
    identifier = TASKS

    def claims(self):
        return [ResultClaim(result_type="task", model=TaskHandle, resolve=poll)]


async def main(url):
    async with Client(url, extensions=[Tasks()]) as client:
        told = client.server_capabilities.extensions
        result = await client.call_tool("sample.long.work", {"steps": 3})
        return [told, result.structured_content, seen]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1]))))
