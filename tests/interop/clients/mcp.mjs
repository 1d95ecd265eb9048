// What the TypeScript SDK of MCP sees: node mcp.mjs URL
import { createRequire } from "node:module";
const require = createRequire(process.env.NODE_PATH + "/");
const { Client } = require("@modelcontextprotocol/sdk/client/index.js");
const { StreamableHTTPClientTransport } = require(
  "@modelcontextprotocol/sdk/client/streamableHttp.js"
);

const client = new Client({ name: "test", version: "1" });
await client.connect(new StreamableHTTPClientTransport(new URL(process.argv[2])));
const told = [];
const seen = {
  server: client.getServerVersion().title,
  tools: (await client.listTools()).tools.map((tool) => tool.name),
};
const greeted = await client.callTool({
  name: "shop.orders.greet",
  arguments: { name: "Ann" },
});
seen.greeted = [greeted.content[0].text, greeted.structuredContent];
const failed = await client.callTool({ name: "shop.orders.fail", arguments: {} });
seen.failed = [failed.isError, failed.content[0].text];
const worked = await client.callTool(
  { name: "slow.work", arguments: { steps: 3 } },
  undefined,
  { onprogress: (progress) => told.push(progress.message) }
);
seen.worked = [worked.structuredContent, told];
const read = await client.readResource({ uri: "shop://items/a%20b" });
seen.read = read.contents[0].text;
const prompt = await client.getPrompt({
  name: "shop.orders.review",
  arguments: { language: "Greek" },
});
seen.prompt = prompt.messages[0].content.text;
const stop = new AbortController();
setTimeout(() => stop.abort(), 300);
await client
  .callTool({ name: "slow.hang", arguments: {} }, undefined, { signal: stop.signal })
  .catch(() => {});
while (true) {
  const ended = await client.callTool({ name: "slow.ended", arguments: {} });
  if (ended.structuredContent.result.length) break;
}
console.log(JSON.stringify(seen));
await client.close();
