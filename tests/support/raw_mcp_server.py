"""An MCP server without the SDK, that errs in chosen ways: `python raw_mcp_server.py KIND FOLDER`.

It notes in FOLDER how often it was started.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

KIND, FOLDER = sys.argv[1], Path(sys.argv[2])
OBJECT = {"type": "object", "properties": {}}
NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}

tools: list[Any] = [{"name": "good", "inputSchema": OBJECT}]
if KIND == "bad tools":
    tools += [
        {"name": "bad", "inputSchema": 3},
        "none",
        {"inputSchema": OBJECT},
        {"name": "late", "inputSchema": OBJECT},
    ]
if KIND == "structured":
    tools = [{"name": name, "inputSchema": OBJECT, "outputSchema": NUMBER} for name in ("good", "missing", "wrong")]
    tools.append({"name": "odd", "inputSchema": OBJECT, "outputSchema": {"$id": "x", "type": "object", "$ref": "y"}})

ANSWERS: dict[str, Any] = {
    "good": {"content": [{"type": "text", "text": "fine"}]},
    "missing": {"content": [{"type": "text", "text": "plain only"}]},
    "wrong": {"content": [{"type": "text", "text": "plain"}], "structuredContent": {"n": "x"}},
}


def write(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def say(message: dict[str, Any]) -> None:
    write(json.dumps({"jsonrpc": "2.0"} | message))


def answer(identifier: Any, name: str) -> None:
    result = ANSWERS.get(name, ANSWERS["good"])
    if KIND == "structured" and name == "good":
        result = result | {"structuredContent": {"n": 1}}
    if KIND == "half an emoji":
        result = {"content": [{"type": "text", "text": "a\ud83dc"}]}
    if KIND == "no JSON":
        write(f'{{"jsonrpc":"2.0","id":{json.dumps(identifier)},"result":{{"content":[{{"type":"text","text":"cut')
        return
    if KIND == "no UTF-8":
        sys.stdout.buffer.write(json.dumps({"jsonrpc": "2.0", "id": identifier, "result": result}).encode("utf-16"))
        sys.stdout.buffer.write(b"\n")
        sys.stdout.flush()
        return
    if KIND == "of another kind":
        result = {"content": [{"type": "hologram", "x": 1}, {"type": "text", "text": "and text"}, 5]}
    if KIND == "changing" and len(tools) == 1:
        tools.append({"name": "added", "inputSchema": OBJECT})
        say({"method": "notifications/tools/list_changed"})
    if KIND == "talking":
        write("[MCP] called\n12\nnull\n{}")
    if KIND == "dying":
        sys.stderr.write("the disk is on fire\n")
        sys.exit(3)
    say({"id": identifier, "result": result})


with (FOLDER / "started").open("a") as file:
    file.write("x")
if KIND == "slow":
    time.sleep(1.5)
if KIND == "talking":
    write("ready\n")
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    match asked["method"]:
        case "initialize":
            capabilities = {"tools": {"listChanged": True}}
            version = asked["params"]["protocolVersion"]
            server = {"name": "raw", "version": "1"}
            result = {"protocolVersion": version, "capabilities": capabilities, "serverInfo": server}
            say({"id": asked["id"], "result": result})
        case "tools/list":
            say({"id": asked["id"], "result": {"tools": tools}})
        case "tools/call":
            answer(asked["id"], asked["params"]["name"])
        case _:
            say({"id": asked["id"], "error": {"code": -32601, "message": "no"}})
