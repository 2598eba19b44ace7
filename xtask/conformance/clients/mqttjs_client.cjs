// MQTT.js as a command line, for `cargo xtask conformance --client`: see ../README.md. Needs `npm install mqtt`.
//
// mqttjs_client.cjs sub|pub|lines HOST PORT CLIENT_ID TOPIC QOS LEVEL KEEP_ALIVE PAYLOAD [-c]

const { readFileSync } = require("node:fs");
const mqtt = require("mqtt");

const [role, host, port, clientId, topic, qosText, levelText, keepAlive, payload, ...rest] = process.argv.slice(2);
const [qos, level, persistent] = [Number(qosText), Number(levelText), rest.includes("-c")];

function fail(why) {
  console.error(String(why));
  process.exit(1);
}

const client = mqtt.connect({
  host,
  port: Number(port),
  clientId,
  keepalive: Number(keepAlive),
  clean: !persistent,
  protocolVersion: level,
  protocolId: level === 3 ? "MQIsdp" : "MQTT",
  properties: level === 5 && persistent ? { sessionExpiryInterval: 3600 } : undefined,
});

client.on("error", (error) => {
  // A refused connection; anything else is for the library to deal with.
  if (error.code !== undefined && !client.connected && typeof error.code === "number") fail(error);
  console.error(String(error));
});
client.on("disconnect", (packet) => console.error(`disconnected: ${packet.reasonCode}`));

if (role === "sub") {
  client.on("message", (_, message) => process.stdout.write(`${message}\n`));
  client.subscribe(topic, { qos }, (error) => error && fail(error));
} else {
  const messages = role === "lines" ? readFileSync(0, "utf8").split("\n").slice(0, -1) : [payload];
  let waiting = messages.length;
  client.once("connect", () => {
    for (const message of messages) {
      client.publish(topic, message, { qos }, (error) => {
        if (error) fail(error);
        waiting -= 1;
        if (waiting === 0) client.end(false, {}, () => process.exit(0));
      });
    }
  });
}
