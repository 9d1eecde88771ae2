"""A local HTTP server with faults on request."""

import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE = b"<!DOCTYPE html>\n<html><body>Sorry, an error.</body></html>"


class Web:
    """``files``: content by path. ``faults``: the fault of each next request to a path, see ``_Handler``."""

    def __init__(self, address):
        self.address = address
        self.files, self.faults, self.etags = {}, {}, {}
        self.requests = []  # (path, Range header)

    def put(self, path, content, *faults, etag="one"):
        self.files[path], self.faults[path], self.etags[path] = content, list(faults), f'"{etag}"'
        return self.address + path


class _Handler(BaseHTTPRequestHandler):
    """A fault is a status, "page", "stall", "slow", "no range", ("cut", bytes sent), ("stall", bytes sent) or bytes.

    Bytes, as (bytes, ..., bytes), are the whole answer; the last ones are sent again and again until the client leaves.
    """

    web: Web

    def do_GET(self):
        web = self.web
        web.requests.append((self.path, self.headers.get("Range")))
        content = web.files.get(self.path)
        faults = web.faults.get(self.path)
        fault = faults.pop(0) if faults else None
        if content is None or isinstance(fault, int):
            self.send_error(fault or 404)
            return
        if isinstance(fault, tuple) and isinstance(fault[0], bytes):
            *once, again = fault
            self.wfile.write(b"".join(once))
            while again:
                self.wfile.write(again)
                time.sleep(0.01)
            return
        if fault == "stall":
            time.sleep(1)
            return
        if fault == "page":
            content = PAGE
        start, status = 0, 200
        asked = self.headers.get("Range")
        if asked and fault != "no range":
            start, status = int(asked.removeprefix("bytes=").rstrip("-")), 206
            if start >= len(content):
                self.send_error(416)
                return
        body = content[start:]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", web.etags[self.path])
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if isinstance(fault, tuple):
            body = body[: fault[1]]
        if fault == "slow":
            for i in range(0, len(body), 50_000):
                self.wfile.write(body[i : i + 50_000])
                time.sleep(0.05)
            return
        self.wfile.write(body)
        if isinstance(fault, tuple) and fault[0] == "stall":
            time.sleep(1)

    def log_message(self, *_):
        pass


@contextmanager
def serve():
    """Yield a `Web` that runs during the block."""
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    handler.web = Web(f"http://127.0.0.1:{server.server_port}")
    server.handle_error = lambda *_: None  # clients that disconnect early
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield handler.web
    finally:
        server.shutdown()
        server.server_close()
