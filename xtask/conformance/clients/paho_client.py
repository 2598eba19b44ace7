"""paho-mqtt as a command line, for `cargo xtask conformance --client`: see ../README.md. Needs paho-mqtt 2.

paho_client.py sub|pub|lines HOST PORT CLIENT_ID TOPIC QOS LEVEL KEEP_ALIVE PAYLOAD [-c]
"""

import os
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

role, host, port, client_id, topic, qos, level, keep_alive, payload, *rest = sys.argv[1:]
qos, level, persistent = int(qos), int(level), "-c" in rest
messages = sys.stdin.read().splitlines() if role == "lines" else [payload]
waiting = len(messages)


def fail(*why):
    print(*why, file=sys.stderr, flush=True)
    os._exit(1)


def on_connect(client, userdata, flags, reason_code, properties):
    global messages
    if reason_code.is_failure:
        fail("refused:", reason_code)
    if role == "sub":
        client.subscribe(topic, qos)
    else:
        for message in messages:
            client.publish(topic, message, qos)
        messages = []


def on_subscribe(client, userdata, mid, reason_codes, properties):
    if any(code.is_failure for code in reason_codes):
        fail("not subscribed:", *reason_codes)


def on_message(client, userdata, message):
    print(message.payload.decode(), flush=True)


def on_publish(client, userdata, mid, reason_code, properties):
    global waiting
    if reason_code.is_failure:
        fail("not published:", reason_code)
    waiting -= 1
    if waiting == 0:
        client.disconnect()


def on_disconnect(client, userdata, flags, reason_code, properties):
    if reason_code.is_failure:
        print("disconnected:", reason_code, file=sys.stderr, flush=True)


arguments = {} if level == 5 else {"clean_session": not persistent}
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id, protocol=level, **arguments)
client.on_connect, client.on_disconnect = on_connect, on_disconnect
client.on_subscribe, client.on_message, client.on_publish = on_subscribe, on_message, on_publish
if level == 5:
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 3600 if persistent else 0
    client.connect(host, int(port), int(keep_alive), clean_start=not persistent, properties=properties)
else:
    client.connect(host, int(port), int(keep_alive))
client.loop_forever()
