"""How many cores a process may use, in the containers that people have."""

import logging
import math
import os
import subprocess
import sys

import pytest

from expressnet_jax import environment
from expressnet_jax.environment import available_cores, granted_cores, granted_memory, thread_count
from expressnet_jax.errors import UserError


def groups(tmp_path, lines, files):
    own = tmp_path / "cgroup"
    own.write_text("\n".join(lines) + "\n")
    for name, text in files.items():
        path = tmp_path / "fs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return own, tmp_path / "fs"


@pytest.mark.parametrize(
    ("lines", "files", "cores"),
    [
        (["0::/"], {}, math.inf),
        (["0::/"], {"cpu.max": "max 100000"}, math.inf),
        (["0::/"], {"cpu.max": "150000 100000"}, 1.5),
        (["0::/pod/box"], {"pod/cpu.max": "200000 100000", "pod/box/cpu.max": "max 100000"}, 2),
        (["0::/host/name/of/it"], {"cpu.max": "50000 100000"}, 0.5),
        (
            ["4:cpu,cpuacct:/"],
            {"cpu,cpuacct/cpu.cfs_quota_us": "-1", "cpu,cpuacct/cpu.cfs_period_us": "100000"},
            math.inf,
        ),
        (
            ["9:name=systemd:/", "4:cpu,cpuacct:/docker/1"],
            {"cpu,cpuacct/cpu.cfs_quota_us": "300000", "cpu,cpuacct/cpu.cfs_period_us": "100000"},
            3,
        ),
        (["1:cpu:/a", "0::/"], {"cpu/a/cpu.cfs_quota_us": "50000", "cpu/a/cpu.cfs_period_us": "25000"}, 2),
        (["0::/"], {"cpu.max": "garbage"}, math.inf),
    ],
)
def test_a_quota_is_found_where_both_versions_of_control_groups_keep_it(tmp_path, lines, files, cores):
    assert granted_cores(*groups(tmp_path, lines, files)) == cores


def test_without_control_groups_there_is_no_quota(tmp_path):
    assert granted_cores(tmp_path / "none", tmp_path) == math.inf


TWO = {"memory.max": "8000", "memory.current": "5000", "memory.stat": "anon 2000\ninactive_file 1000"}
ONE = {"memory.limit_in_bytes": "8000", "memory.usage_in_bytes": "5000", "memory.stat": "total_inactive_file 500"}


@pytest.mark.parametrize(
    ("lines", "files", "left"),
    [
        (["0::/"], {}, math.inf),
        (["0::/"], TWO | {"memory.max": "max"}, math.inf),
        (["0::/"], TWO, 4000),
        (["0::/host/name/of/it"], TWO | {"memory.max": "4500"}, 500),
        (["0::/"], TWO | {"memory.max": "3000"}, 0),
        (["0::/pod/box"], {f"pod/{name}": text for name, text in TWO.items()}, 4000),
        (["7:memory:/docker/1"], {f"memory/{name}": text for name, text in ONE.items()}, 3500),
        (["7:cpu:/docker/1"], {f"memory/{name}": text for name, text in ONE.items()}, math.inf),
    ],
)
def test_the_memory_of_a_container_is_what_its_groups_leave(tmp_path, lines, files, left):
    assert granted_memory(*groups(tmp_path, lines, files)) == left


@pytest.mark.parametrize(("granted", "cores"), [(0.2, 1), (1.5, 2), (math.inf, 8), (99, 8)])
def test_cores_are_those_allowed_and_granted(monkeypatch, granted, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(environment, "granted_cores", lambda: granted)
    assert available_cores.__wrapped__() == cores


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="a process can't be bound to a core here")
def test_a_process_bound_to_one_core_starts_one_thread():
    program = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    program += "from expressnet_jax.environment import thread_count; print(thread_count(0), thread_count(9))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "1 1\n"
    assert done.stderr == "threads: 9, but 1 core may be used; 1 it is\n"


def test_threads_are_capped_with_one_line(monkeypatch, caplog):
    monkeypatch.setattr(environment, "available_cores", lambda: 4)
    environment._say_capped.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert [thread_count(n) for n in (0, 1, 4, 100, 100)] == [4, 1, 4, 4, 4]
    assert [record.getMessage() for record in caplog.records] == ["threads: 100, but 4 cores may be used; 4 it is"]
    with pytest.raises(UserError, match=r"data.threads: -1; give 0 for one on each core"):
        thread_count(-1, "data.threads")


@pytest.mark.parametrize(("threads", "taken"), [(0, 2), (1, 1), (100, 2)])
def test_sessions_take_no_more_threads_than_cores(monkeypatch, threads, taken):
    import onnxruntime

    from expressnet_jax.runtime import ort_session

    seen = []
    monkeypatch.setattr(environment, "available_cores", lambda: 2)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda model, options, **_: seen.append(options))
    ort_session._open(b"", "model", threads)
    assert seen[0].intra_op_num_threads == taken
