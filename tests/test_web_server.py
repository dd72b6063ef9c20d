"""The page's server gives away nothing but the page, and the page is a folder that any server can show."""

import argparse
import functools
import gzip
import hashlib
import http.client
import http.server
import json
import re
import socket
import subprocess
import sys

import pytest

from clip_models import write_clip_model
from expressnet_jax.errors import UserError
from expressnet_jax.web import commands, page_files, page_server

pytest_plugins = ["page_fixtures"]


def ask(server, method, path, headers=None):
    connection = http.client.HTTPConnection(*server.server_address, timeout=10)
    connection.request(method, path, headers=headers or {})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


def ask_raw(server, text):
    """What the server sends for bytes that no HTTP library would."""
    with socket.create_connection(server.server_address, timeout=10) as connection:
        connection.sendall(text.encode())
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(functools.partial(connection.recv, 65536), b""))


def test_every_file_of_the_page_is_served_with_all_the_headers(server, files):
    for name in ("", *files):
        answer, body = ask(server, "GET", f"/{name}")
        assert answer.status == 200
        assert body == files[name or "index.html"].content
        assert {key: answer.headers[key] for key in page_server.HEADERS} == page_server.HEADERS
    assert answer.headers["Server"].strip() == "expressnet"


def test_the_policy_forbids_all_but_the_pages_own_files_and_is_in_the_page_too(files):
    rules = dict(rule.split(" ", 1) for rule in page_server.POLICY.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == "'self' 'wasm-unsafe-eval'"
    assert rules["connect-src"] == rules["style-src"] == rules["worker-src"] == "'self'"
    meta = re.search(r'http-equiv="Content-Security-Policy"\s+content="([^"]+)"', files["index.html"].content.decode())
    assert f"{meta[1]}; frame-ancestors 'none'" == page_server.POLICY  # which browsers take from headers only


@pytest.mark.parametrize(
    "path",
    [
        "/../commands.py",
        "/ort/../../commands.py",
        "/%2e%2e/commands.py",
        "/..%2fcommands.py",
        "/..\\commands.py",
        "//etc/passwd",
        "/ort",
        "/ort/",
        "/models/",
        "/index.html/",
        "/index.html%00",
        "http://127.0.0.1/index.html",
    ],
)
def test_nothing_else_is_served(server, path):
    answer = ask_raw(server, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"Content-Security-Policy: default-src 'none'" in answer


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1.evil.example:{port}"])
def test_a_foreign_name_for_this_computer_is_refused(server, host):
    answer, body = ask(server, "GET", "/", {"Host": host.format(port=server.server_port)})
    assert answer.status == 421
    assert b"<html" not in body


@pytest.mark.parametrize("host", ["", "Host: 127.0.0.1:{port}\r\nHost: evil.example\r\n"])
def test_no_host_or_two_are_refused(server, host):
    answer = ask_raw(server, f"GET / HTTP/1.1\r\n{host.format(port=server.server_port)}\r\n")
    assert answer.startswith(b"HTTP/1.1 421 ")


def test_localhost_is_a_name_of_this_computer(server):
    assert ask(server, "GET", "/", {"Host": f"localhost:{server.server_port}"})[0].status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
def test_only_get_and_head_are_answered(server, method):
    answer, _ = ask(server, method, "/")
    assert answer.status == (501 if method == "BREW" else 405)
    assert method == "BREW" or answer.headers["Allow"] == "GET, HEAD"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_head_tells_the_length_and_sends_nothing(server, files):
    answer, body = ask(server, "HEAD", "/main.js")
    assert body == b""
    assert int(answer.headers["Content-Length"]) == len(files["main.js"].content)


def test_a_body_is_not_taken_for_the_next_request(server):
    host = f"Host: 127.0.0.1:{server.server_port}\r\n"
    hidden = f"GET /icon.svg HTTP/1.1\r\n{host}\r\n"
    answer = ask_raw(server, f"GET /nothing HTTP/1.1\r\n{host}Content-Length: {len(hidden)}\r\n\r\n{hidden}")
    assert answer.count(b"HTTP/1.1 ") == 1


def test_only_this_computer_is_listened_to(server):
    assert server.server_address[0] == "127.0.0.1"


def arguments(*words):
    parser = argparse.ArgumentParser()

    def command(name, run, text, uses_jax):
        assert name == "web" and run is commands.web and not uses_jax
        return parser

    commands.add_command(command)
    return parser.parse_args(words)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_does_not_exist_is_named(files, port):
    with pytest.raises(UserError, match=rf"--port: {port}; give 1 to 65535"):
        page_server.open_server(files, port)


def test_a_port_in_use_is_named(files, server):
    with pytest.raises(UserError, match=f"--port: {server.server_port} is in use; give another"):
        page_server.open_server(files, server.server_port)


def test_port_0_says_which_it_took_and_jax_is_not_imported():
    script = (
        "import argparse, sys\nfrom expressnet_jax.web import page_server\n"
        "from expressnet_jax.web import commands as web\n"
        "real = page_server.open_server\n"
        "def checked(*given):\n"
        "    assert not {'jax', 'flax', 'tensorflow'} & set(sys.modules)\n"
        "    return real(*given)\n"
        "page_server.open_server = checked\n"
        "web.web(argparse.Namespace(model='small', port=0, output=None))"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        try:
            port = int(re.match(r"http://127\.0\.0\.1:(\d+) ", line)[1])
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", "/")
            assert connection.getresponse().read().startswith(b"<!doctype html>")
            connection.close()
        finally:
            process.terminate()


# The folder


def test_output_writes_the_same_files_and_nothing_else(tmp_path, files, capsys):
    folder = tmp_path / "a" / "page"
    commands.web(arguments("--output", str(folder)))
    written = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert written == {name: file.content for name, file in files.items()}
    assert [path.name for path in folder.parent.iterdir()] == ["page"]
    assert "wrote" in capsys.readouterr().out


def test_output_leaves_alone_what_is_there(tmp_path, files):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="is there already; give a new folder"):
        page_files.write_page(files, tmp_path)
    with pytest.raises(UserError, match="can't be written"):
        page_files.write_page(files, tmp_path / "mine.txt" / "page")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_model_of_ones_own_comes_without_the_shipped_ones_card(tmp_path, files):
    path = tmp_path / "own.onnx"
    path.write_bytes(files["models/expressnet.onnx"].content)
    own = page_files.page_files(path)
    assert own["models/expressnet.onnx"] == files["models/expressnet.onnx"]
    assert json.loads(own["models/model.json"].content)["card"] is None
    with pytest.raises(UserError, match="no such file"):
        page_files.page_files(tmp_path / "none.onnx")


@pytest.mark.parametrize(("sound", "takes"), [(0, "takes clips"), (1600, "takes clip and waveform")])
def test_a_model_of_something_else_than_images_is_refused(tmp_path, sound, takes):
    model = write_clip_model(tmp_path / "clips.onnx", sound=sound)
    with pytest.raises(UserError, match=f"clips.onnx {takes}"):
        page_files.page_files(model)


def test_the_model_is_described_as_its_file_does(files, predictor):
    facts = json.loads(files["models/model.json"].content)
    assert facts["classes"] == list(predictor.classes)
    assert facts["image_shape"] == list(predictor.model.image_shape)
    assert facts["detector"]["margin"] == predictor.detector.margin
    assert facts["card"] is None or f"models/{facts['card']}" in files


def test_the_runtime_is_the_published_one():
    runtime = page_files.PAGE / "ort"
    told = re.findall(r"^(\S+?)(, unpacked)? +dist/\S+\nSHA-256 (\w+)$", (runtime / "SOURCE.txt").read_text(), re.M)
    assert [name for name, _, _ in told] == ["ort.js", "ort-glue.js", "ort.wasm.gz"]
    for name, packed, digest in told:
        content = (runtime / name).read_bytes()
        assert hashlib.sha256(gzip.decompress(content) if packed else content).hexdigest() == digest
