"""A process of this project whose network use and written files are noted: by Python's audit hooks, and by strace."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

STRACE = shutil.which("strace")
# Read by the interpreter before anything else, in child processes too.
HOOK = """
import os, sys
log = os.open(os.environ["WATCHED_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def note(event, args):
    if event.startswith("socket.") and event not in ("socket.__new__", "socket.bind", "socket.gethostname"):
        os.write(log, f"address {args!r}\\n".encode())
    elif event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and isinstance(args[0], (str, bytes)):
        os.write(log, f"write {os.path.abspath(os.fsdecode(args[0]))}\\n".encode())
    elif event == "os.mkdir":
        os.write(log, f"write {os.path.abspath(os.fsdecode(args[0]))}\\n".encode())
    elif event == "import" and args[0] == "onnxruntime":
        os.write(log, f"runtime {os.environ.get('ORT_DISABLE_TELEMETRY')}\\n".encode())
sys.addaudithook(note)
"""
CALLS = "connect,sendto,sendmsg,sendmmsg,open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2,symlink,link"
ADDRESS = re.compile(r'(?:inet_addr\(|inet_pton\(AF_INET6, )"([^"]+)"')
OPENED = re.compile(r'^\d+\s+\w+\((?:AT_FDCWD(?:<([^>]*)>)?|\d+<([^>]*)>)?(?:, )?"([^"]*)"(.*)$')
HARMLESS = ("/dev/", "/proc/")  # shared memory and devices; what the kernel says of this process


class Watched(NamedTuple):
    """What a process did.

    Attributes:
      out: its standard output.
      runtime: $ORT_DISABLE_TELEMETRY whenever ONNX Runtime was imported.
      addresses, writes: what Python code asked the network for, and the files that it opened for writing or made.
      native_addresses, native_writes: the same of all code, from its system calls; None without strace.
    """

    out: str
    runtime: list[str]
    addresses: list[str]
    writes: set[Path]
    native_addresses: list[str] | None
    native_writes: set[Path] | None


def watch(folder: Path, *words, environment=None, drive=None, status=0) -> Watched:
    """Run `python WORDS` in `folder`, outside CI, with an empty home and temporary folder in it.

    `drive` (process) does something with it while it runs; it has to end it.
    """
    hooks, trace, log = folder / "hooks", folder / "trace", folder / "log"
    for each in (hooks, folder / "home", folder / "tmp", folder / "work"):
        each.mkdir(parents=True, exist_ok=True)
    (hooks / "sitecustomize.py").write_text(HOOK)
    log.write_text("")
    path = os.pathsep.join([str(hooks), str(Path(__file__).parents[1])])
    kept = {name: value for name, value in (environment or os.environ).items() if not _of_ci(name)}
    kept |= {"HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp"), "PYTHONPATH": path}
    kept |= {"WATCHED_LOG": str(log), "PYTHONDONTWRITEBYTECODE": "1"}
    seen = [STRACE, "-f", "-y", "-q", "-s", "4096", "--seccomp-bpf", "-e", f"trace={CALLS}", "-o", str(trace)]
    command = [*(seen if STRACE else []), sys.executable, *map(str, words)]
    process = subprocess.Popen(
        command, env=kept, cwd=folder / "work", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        if drive:
            drive(process)
        out, err = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == status, err
    lines = [line.split(" ", 1) for line in log.read_text().splitlines()]
    of = lambda kind: [value for name, value in lines if name == kind]
    native = _read(trace, folder / "work") if STRACE else (None, None)
    return Watched(out, of("runtime"), of("address"), set(map(Path, of("write"))), *native)


def _of_ci(name: str) -> bool:
    """Libraries are quieter where they believe to be tested."""
    return name.startswith(("GITHUB_", "PYTEST_")) or name in ("CI", "TF_BUILD", "XDG_CACHE_HOME", "MPLCONFIGDIR")


def _read(trace: Path, work: Path) -> tuple[list[str], set[Path]]:
    addresses, writes = [], set()
    for line in trace.read_text(errors="replace").splitlines():
        addresses += ADDRESS.findall(line)
        found = OPENED.match(line)
        if not found or re.search(r"= -1 |^\d+ +(connect|send)", line):
            continue
        if not re.match(r"^\d+ +open(at)?\(", line) or re.search(r"O_(WRONLY|RDWR|CREAT)", found[4]):
            writes.add(Path(os.path.normpath(work / (found[1] or found[2] or "") / found[3])))
    return addresses, writes


def outside(writes: set[Path], *folders: Path) -> list[str]:
    """The files that lie in none of the folders, and are not what these lie in."""
    own = lambda path: any(path.is_relative_to(folder) or folder.is_relative_to(path) for folder in folders)
    return sorted(str(path) for path in writes if not own(path) and not str(path).startswith(HARMLESS))
