"""The server of `expressnet web`: on this computer only, a fixed list of files, strict headers."""

import errno
import os
import socketserver
import sys
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from expressnet_jax.errors import UserError
from expressnet_jax.web.page_files import File

ADDRESS = "127.0.0.1"
POLICY = (  # index.html says the same, less the last of it, for servers that send no headers
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self';"
    " img-src 'self' blob: data:; style-src 'self'; media-src 'self' blob:; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=(), display-capture=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


class Server(ThreadingHTTPServer):
    """Answers on this computer's own address from a list of files."""

    daemon_threads = True
    allow_reuse_address = os.name != "nt"  # there it would share a port that is in use
    allow_reuse_port = False

    def __init__(self, files: Mapping[str, File], port: int):
        self.files = {f"/{name}": file for name, file in files.items()} | {"/": files["index.html"]}
        super().__init__((ADDRESS, port), _Handler)
        names = (ADDRESS, "localhost")
        self.hosts = {f"{name}:{self.server_port}" for name in names} | set(names if self.server_port == 80 else ())

    def server_bind(self) -> None:
        """Bind without HTTPServer's look-up of the computer's name, which can take long where there is no network."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = ADDRESS, self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):  # browsers hang up as they like
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """GET and HEAD of the listed paths, for those who ask by the right name."""

    protocol_version = "HTTP/1.1"
    server: Server
    server_version, sys_version = "expressnet", ""
    timeout = 30  # seconds of silence

    def do_GET(self) -> None:
        # Another site's name that points to this computer would let that site read along (DNS rebinding).
        if self.headers.get_all("Host") not in [[host] for host in self.server.hosts]:
            return self.refuse(HTTPStatus.MISDIRECTED_REQUEST)
        file = self.server.files.get(self.path.partition("?")[0])
        if file is None:
            return self.refuse(HTTPStatus.NOT_FOUND)
        return self.answer(HTTPStatus.OK, file)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self.refuse(HTTPStatus.METHOD_NOT_ALLOWED, Allow="GET, HEAD")

    do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_TRACE = do_CONNECT = do_POST

    def refuse(self, status: HTTPStatus, **headers: str) -> None:
        self.close_connection = True  # what follows may be the body of what was refused
        self.answer(status, File(f"{status.value} {status.phrase}\n".encode(), "text/plain; charset=utf-8"), headers)

    def answer(self, status: HTTPStatus, file: File, headers: Mapping[str, str] | None = None) -> None:
        sent = {"Content-Type": file.type, "Content-Length": str(len(file.content)), **(headers or {})}
        if "Content-Length" in self.headers or "Transfer-Encoding" in self.headers:
            self.close_connection = True
        if self.close_connection:
            sent["Connection"] = "close"
        self.send_response(status)
        for name, value in sent.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(file.content)

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *args: Any) -> None:
        """Log nothing: what a person looks at is not recorded."""


def open_server(files: Mapping[str, File], port: int) -> Server:
    """Return a server that listens already; port 0 takes a free one.

    Raises:
      UserError: the port is in use, out of range, or not to be had.
    """
    if not 0 <= port <= 65535:
        raise UserError(f"--port: {port}; give 1 to 65535, or 0 for a free one")
    try:
        return Server(files, port)
    except OSError as error:
        why = "in use" if error.errno == errno.EADDRINUSE else f"not to be had ({error.strerror})"
        raise UserError(f"--port: {port} is {why}; give another, or 0 for a free one") from error
