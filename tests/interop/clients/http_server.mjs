// Sends requests, one connection each, to the HTTP server of Node.
// Reads them as JSON, a list of texts of Latin-1, and prints what came of each: the
// statuses of the answers, and the method, target and body of what was asked.
import http from "node:http";
import net from "node:net";

let asked = [];
const server = http.createServer((request, response) => {
  const pieces = [];
  const one = [request.method, request.url, null];
  asked.push(one);
  request.on("data", (piece) => pieces.push(piece));
  request.on("error", () => {});
  request.on("end", () => {
    one[2] = Buffer.concat(pieces).toString("latin1");
    response.end();
  });
});
server.on("connect", (request, socket) => {
  socket.end("HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\n\r\n");
});

function send(data) {
  return new Promise((resolve) => {
    asked = [];
    let received = "";
    const client = net.connect(server.address().port, "127.0.0.1", () => {
      client.end(Buffer.from(data, "latin1"));
    });
    client.on("data", (piece) => (received += piece.toString("latin1")));
    client.on("error", () => {});
    client.on("close", () => {
      const found = received.matchAll(/^HTTP\/1\.1 (\d+)/gm);
      resolve({ statuses: [...found].map((each) => Number(each[1])), asked });
    });
  });
}

let text = "";
for await (const piece of process.stdin) text += piece;
server.listen(0, "127.0.0.1", async () => {
  const told = [];
  for (const data of JSON.parse(text)) told.push(await send(data));
  console.log(JSON.stringify(told));
  server.close();
});
