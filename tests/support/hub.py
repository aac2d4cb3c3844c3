"""The Hugging Face hub, played by a local server with one repository, whose connections can be cut or held.

Knows the requests that huggingface_hub makes. Knows nothing about the program.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

NAME = "someone/gpt-oss-small"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
PIECE = 2**20


@dataclass
class Hub:
    """A repository that holds the files of `folder`.

    `cut_at`: how many bytes of a file go out before the connection is cut, each time it is asked for; `cuts` bounds how often.
    `broken`: every request for a file is answered with 503. `hold_at`: how many bytes go out before `go_on` is waited for.
    `lies`: other contents than those that the listing tells of. `hidden`: files that it does not have.
    `sent`: of every answer with a file's content, its name, from which byte on, and how many were sent.
    """

    folder: Path
    url: str = ""
    cut_at: int | None = None
    cuts: int = 1
    broken: bool = False
    hold_at: int | None = None
    lies: dict[str, bytes] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    go_on: threading.Event = field(default_factory=threading.Event)
    holding: threading.Event = field(default_factory=threading.Event)
    sent: list[tuple[str, int, int]] = field(default_factory=list)

    def weights_sent(self) -> int:
        """Return how many bytes of weights have been sent in all."""
        return sum(count for name, _, count in self.sent if name.endswith(".safetensors"))

    @cached_property
    def digests(self) -> dict[str, str]:
        return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in self.folder.iterdir()}

    @property
    def weights_size(self) -> int:
        return sum(file.stat().st_size for file in self.folder.glob("*.safetensors"))

    def listing(self, *, as_tree: bool) -> list[dict[str, Any]]:
        files: list[dict[str, Any]] = []
        for name in sorted(set(self.digests) - self.hidden):
            size = (self.folder / name).stat().st_size
            lfs = {"size": size, "pointerSize": 130, "oid" if as_tree else "sha256": self.digests[name]}
            names = {"type": "file", "path": name, "oid": COMMIT} if as_tree else {"rfilename": name, "blobId": COMMIT}
            files.append({**names, "size": size, **({"lfs": lfs} if name.endswith(".safetensors") else {})})
        return files


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: Any) -> None: ...

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if path.startswith(f"/{NAME}/resolve/"):
            self._file(path.rsplit("/", 1)[-1])
        elif path.startswith(f"/api/models/{NAME}/tree/"):
            self._json(self.hub.listing(as_tree=True))
        elif path.startswith(f"/api/models/{NAME}"):
            self._json({"id": NAME, "sha": COMMIT, "siblings": self.hub.listing(as_tree=False)})
        else:
            self._answer(404, b"", {"X-Error-Code": "RepoNotFound"})

    def _json(self, content: Any) -> None:
        self._answer(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def _file(self, name: str) -> None:
        if name in self.hub.hidden or name not in self.hub.digests:
            self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})
        elif self.hub.broken:
            self._answer(503, b"", {})
        else:
            self._content(name, self.hub.lies.get(name) or (self.hub.folder / name).read_bytes())

    def _content(self, name: str, content: bytes) -> None:
        wanted = self.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").split("-")[0]) if wanted else 0
        self.send_response(206 if wanted else 200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{self.hub.digests[name]}"')
        self.send_header("Content-Length", str(len(content) - start))
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if self.command == "GET":
            self._send_body(name, memoryview(content)[start:], start)

    def _send_body(self, name: str, body: memoryview, start: int) -> None:
        hub, count = self.hub, 0
        try:
            while count < len(body):
                if hub.hold_at is not None and count >= hub.hold_at:
                    hub.holding.set()
                    hub.go_on.wait()
                if hub.cuts and hub.cut_at is not None and count >= hub.cut_at:
                    hub.cuts -= 1
                    self.close_connection = True
                    return
                self.wfile.write(body[count : count + PIECE])
                count += len(body[count : count + PIECE])
        except OSError:  # the client has gone
            self.close_connection = True
        finally:
            hub.sent.append((name, start, count))


@contextmanager
def serving(folder: Path) -> Iterator[Hub]:
    """Serve the files of `folder` as the repository NAME, on a port of this machine only."""
    hub = Hub(folder)
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        hub.go_on.set()
        server.shutdown()
        server.server_close()
