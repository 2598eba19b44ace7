// `node aedes.cjs CERTIFICATE KEY`: aedes on loopback ports of its choice. It prints one line `SCHEME URL` for each,
// then an empty one, and ends when its input does: with whoever started it.
const fs = require("node:fs");
const http = require("node:http");
const https = require("node:https");
const net = require("node:net");
const tls = require("node:tls");
const { Aedes } = require("aedes");
const { WebSocketServer, createWebSocketStream } = require("ws");

async function main([certificate, key]) {
  const broker = await Aedes.createBroker();
  const secrets = { cert: fs.readFileSync(certificate), key: fs.readFileSync(key) };
  const websocket = (server) => {
    const upgrades = new WebSocketServer({ server, handleProtocols: () => "mqtt" });
    upgrades.on("connection", (socket, request) => broker.handle(createWebSocketStream(socket), request));
    return server;
  };
  const servers = {
    mqtt: net.createServer(broker.handle),
    mqtts: tls.createServer(secrets, broker.handle),
    ws: websocket(http.createServer()),
    wss: websocket(https.createServer(secrets)),
  };
  for (const [scheme, server] of Object.entries(servers)) {
    await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
    console.log(`${scheme} ${scheme}://127.0.0.1:${server.address().port}`);
  }
  console.log();
}

process.stdin.on("end", () => process.exit()).resume();
main(process.argv.slice(2));
