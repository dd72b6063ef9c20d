"""`expressnet web`: the page that finds faces and their labels in the browser, on this computer or as a folder.

Nothing is computed here: the page runs the models itself, and no image leaves it.
"""

import argparse
from collections.abc import Callable
from pathlib import Path


def add_command(command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command; `command` (name, function, text, uses_jax) makes a subparser."""
    text = "Serve a page that finds faces and labels in the browser: camera or images, nothing is uploaded."
    sub = command("web", web, text, uses_jax=False)
    sub.add_argument("--model", default="small", help="small, small_int8, tiny, tiny_int8, or an exported .onnx file")
    where = sub.add_mutually_exclusive_group()
    where.add_argument(
        "--port", type=int, default=8000, help="on this computer only; 0 takes a free one; default: 8000"
    )
    where.add_argument("--output", type=Path, help="write the page into this new folder instead, for any web server")


def web(arguments: argparse.Namespace) -> None:
    """Serve until stopped, or write the folder."""
    from expressnet_jax.web.page_files import page_files, write_page
    from expressnet_jax.web.page_server import ADDRESS, open_server

    files = page_files(arguments.model)
    if arguments.output:
        write_page(files, arguments.output)
        print(f"wrote {arguments.output}; any web server can show it, and cameras need https or localhost")
        return
    with open_server(files, arguments.port) as server:
        print(f"http://{ADDRESS}:{server.server_port} shows the page; Ctrl-C ends it", flush=True)
        server.serve_forever()
