"""A web server on loopback that behaves as it is told, one answer after another."""

import io
import random
import socket
import threading
import time
import zipfile
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from data_download.fetching.download import BLOCK


def zipped(seed=0, size=400_000):
    """A zip of one folder, whose contents do not compress."""
    rng = random.Random(seed)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for i in range(4):
            archive.writestr(f"Top/sub/case{i}.nii.gz", rng.randbytes(size // 4))
    return buffer.getvalue()


PAYLOAD = zipped()
STOP = 6 * BLOCK  # a connection that breaks off here loses nothing


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.requests.append((self.path, dict(self.headers)))
        plan = self.server.plan
        (plan.pop(0) if plan else serve())(self)

    do_CONNECT = do_GET  # as a proxy

    def log_message(self, *arguments):
        pass

    def cut(self):
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A client that goes away is no news."""


def serve(payload=None, etag='"v1"', ranges=True, stop=None, headers=(), length=None, if_range=True, chunk=None, pause=0.0):
    """A well-behaved answer, unless told otherwise. `stop`: cut the connection after so many bytes of this answer."""

    def answer(handler):
        content = handler.server.payload if payload is None else payload
        start, wanted = 0, handler.headers.get("Range")
        same = not if_range or handler.headers.get("If-Range", etag) == etag
        if wanted and ranges and same:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                handler.send_response(416)
                handler.send_header("Content-Range", f"bytes */{len(content)}")
                handler.send_header("Content-Length", "0")
                handler.end_headers()
                return
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            handler.send_response(200)
        body = content[start:]
        if length != "none":
            handler.send_header("Content-Length", str(len(body) if length is None else length))
        else:
            handler.close_connection = True
        if etag:
            handler.send_header("ETag", etag)
        for name, value in headers:
            handler.send_header(name, value)
        handler.end_headers()
        body = body if stop is None else body[:stop]
        for at in range(0, len(body), chunk or max(1, len(body))):
            handler.wfile.write(body[at : at + (chunk or len(body))])
            time.sleep(pause)
        if stop is not None or (length not in (None, "none") and length > len(body)):
            handler.cut()

    return answer


def fail(status, body=b"", **headers):
    def answer(handler):
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def page(title, **headers):
    return fail(200, f"<!DOCTYPE html><html><head><title>{title}</title></head>{'x' * 3000}</html>".encode(), **headers)


@contextmanager
def running():
    server = Server(("127.0.0.1", 0), Handler)
    server.payload, server.plan, server.requests = PAYLOAD, [], []
    server.url = f"http://127.0.0.1:{server.server_port}/data.zip"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
