"""`expressnet web`: the page that finds faces and their labels in the browser, on this computer or as a folder.

Nothing is computed here: the page runs the models itself, and no picture leaves it.
"""

import argparse
import errno
import json
import os
import shutil
import socketserver
import sys
import tempfile
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from expressnet_jax.errors import UserError

PAGE = Path(__file__).parent / "page"
ADDRESS = "127.0.0.1"
CARD = "MODEL_CARD.md"
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
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".gz": "application/gzip",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".md": "text/plain; charset=utf-8",
    ".onnx": "application/octet-stream",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


class File(NamedTuple):
    """What is sent for one path."""

    content: bytes
    type: str


def add_command(command: Callable[..., argparse.ArgumentParser]) -> None:
    """`command` (name, function, text, uses_jax) makes a subparser."""
    text = "Serve a page that finds faces and labels in the browser: camera or pictures, nothing is uploaded."
    sub = command("web", web, text, uses_jax=False)
    sub.add_argument("--model", default="small", help="small, small_int8, or a file of expressnet export")
    where = sub.add_mutually_exclusive_group()
    where.add_argument("--port", type=int, default=8000, help="on this computer only; 0 takes a free one")
    where.add_argument("--output", type=Path, help="write the page into this new folder instead, for any web server")


def web(arguments: argparse.Namespace) -> None:
    """Serves until it is stopped, or writes the folder."""
    files = page_files(arguments.model)
    if arguments.output:
        write_page(files, arguments.output)
        print(f"wrote {arguments.output}; any web server can show it, and cameras need https or localhost")
        return
    with open_server(files, arguments.port) as server:
        print(f"http://{ADDRESS}:{server.server_port} shows the page; Ctrl-C ends it", flush=True)
        server.serve_forever()


def page_files(model: str | Path = "small") -> dict[str, File]:
    """All that the page consists of, by path relative to it.

    Raises:
      UserError: no such model.
    """
    from expressnet_jax.deploy.predictor import SHIPPED, WEIGHTS, load_model

    paths = {path.relative_to(PAGE).as_posix(): path for path in sorted(PAGE.rglob("*")) if path.suffix in TYPES}
    shipped = str(model) in SHIPPED
    paths["models/expressnet.onnx"] = WEIGHTS / SHIPPED[str(model)] if shipped else Path(model)
    paths |= {f"models/{path.name}": path for path in (WEIGHTS / "centerface.onnx", WEIGHTS / "LICENSE-centerface.txt")}
    if shipped and (WEIGHTS / CARD).is_file():
        paths[f"models/{CARD}"] = WEIGHTS / CARD
    facts = facts_of(load_model(model).metadata, CARD if f"models/{CARD}" in paths else None)
    files = {name: File(path.read_bytes(), TYPES[Path(name).suffix]) for name, path in paths.items()}
    files["models/model.json"] = File(json.dumps(facts, indent=2).encode(), TYPES[".json"])
    return files


def facts_of(metadata: Mapping[str, Any], card: str | None) -> dict[str, Any]:
    """What the page must know of the models: ONNX Runtime does not tell metadata in browsers."""
    from expressnet_jax.deploy import centerface, smoothing
    from expressnet_jax.deploy.crop import FINEST
    from expressnet_jax.deploy.detector import make_detector
    from expressnet_jax.deploy.predictor import MOST_FACES

    detector = make_detector("centerface")
    rule = {
        "size": detector.find.size,
        "least": centerface.LEAST,
        "threshold": detector.find.threshold,
        "margin": detector.margin,
        "overlap": centerface.OVERLAP,
        "multiple": centerface.MULTIPLE,
        "stride": centerface.STRIDE,
    }
    calm = {"time_constant": smoothing.TIME_CONSTANT, "odds": smoothing.ODDS, "least": smoothing.LEAST}
    how = {"detector": rule, "smoothing": calm, "finest": FINEST, "most_faces": MOST_FACES}
    return {**metadata, **how, "card": card}


def write_page(files: Mapping[str, File], folder: Path) -> None:
    """The files into a folder that is not there yet, or is empty.

    Raises:
      UserError: it holds something, or can't be written.
    """
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError(f"--output: {folder} is there already; give a new folder")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as made:
            for name, file in files.items():
                path = Path(made, "page", name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(file.content)
            if folder.exists():
                folder.rmdir()
            shutil.move(Path(made, "page"), folder)
    except OSError as error:
        raise UserError(f"--output: {folder}: can't be written ({error.strerror}); give another folder") from error


class Server(ThreadingHTTPServer):
    """Answers on this computer's own address from a list of files."""

    daemon_threads = True
    allow_reuse_address = os.name != "nt"  # there it would share a port that is in use
    allow_reuse_port = False

    def __init__(self, files: Mapping[str, File], port: int):
        self.files = {f"/{name}": file for name, file in files.items()} | {"/": files["index.html"]}
        super().__init__((ADDRESS, port), Handler)
        names = (ADDRESS, "localhost")
        self.hosts = {f"{name}:{self.server_port}" for name in names} | set(names if self.server_port == 80 else ())

    def server_bind(self) -> None:
        """Without HTTPServer's look at the computer's name, which can take long where there is no network."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):  # browsers hang up as they like
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """GET and HEAD of the listed paths, for those who ask by the right name."""

    protocol_version = "HTTP/1.1"
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
        told = {"Content-Type": file.type, "Content-Length": str(len(file.content)), **(headers or {})}
        if "Content-Length" in self.headers or "Transfer-Encoding" in self.headers:
            self.close_connection = True
        if self.close_connection:
            told["Connection"] = "close"
        self.send_response(status)
        for name, value in told.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(file.content)

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *args: Any) -> None:
        """Nothing: what a person looks at is not noted."""


def open_server(files: Mapping[str, File], port: int) -> Server:
    """A server that listens already; port 0 takes a free one.

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
