"""The launch scripts say what they would do, and do nothing then."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "launch").glob("*.sh"))
ELSEWHERE = ("gke", "slurm", "tpu")  # run nothing on this machine
# Beside this Python, where pip puts it, whether that folder is in PATH or not.
SHELLCHECK = shutil.which("shellcheck", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))
HERE = [path for path in SCRIPTS if path.stem not in ELSEWHERE]
QUOTED = '--config.data.inputs=["image", "points"]'
ARGUMENTS = ("--config", "configs/affectnet.py", "--config.data.dir=/data/a b", "--workdir", "/data/runs/a", QUOTED)


@pytest.fixture
def clone(tmp_path):
    """What a fresh clone has beside the package, under a path with a space in it."""
    folder = tmp_path / "a clone"
    shutil.copytree(ROOT / "launch", folder / "launch")
    shutil.copytree(ROOT / "configs", folder / "configs")
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def run(script, *arguments, cwd, **changes):
    environment = os.environ | {"PYTHON": sys.executable} | changes
    line = ["bash", str(script), *arguments]
    return subprocess.run(line, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_it_is_a_script_that_stops_at_the_first_error(path):
    lines = path.read_text().splitlines()
    assert lines[0] == "#!/usr/bin/env bash" and lines[1].startswith("# ")
    assert "set -euo pipefail" in lines and os.access(path, os.X_OK)
    assert subprocess.run(["bash", "-n", str(path)], capture_output=True).returncode == 0


@pytest.mark.skipif(SHELLCHECK is None, reason="shellcheck is not installed")
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_shellcheck_finds_nothing(path):
    done = subprocess.run([SHELLCHECK, "--external-sources", str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", HERE, ids=lambda path: path.stem)
def test_a_dry_run_says_what_would_be_done_and_does_nothing(clone, tmp_path, path):
    before = sorted(clone.rglob("*"))
    done = run(clone / "launch" / path.name, cwd=tmp_path, DRY_RUN="1")
    assert done.returncode == 0 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines and all(line.startswith("would run: ") for line in lines)
    assert f"would run: {sys.executable} -m venv .venv" in lines
    assert sorted(clone.rglob("*")) == before


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_the_configs_that_it_names_exist(path):
    for word in re.findall(r"(?<![\w/])configs/[\w/]+\.py", path.read_text()):
        assert (ROOT / word).is_file()


def test_the_jobset_is_a_whole_one(tmp_path):
    """As jobset.x-k8s.io/v1alpha2 and batch/v1 name their fields; the arguments come through, spaces and all."""
    settings = {"DRY_RUN": "1", "IMAGE": "registry/expressnet:1", "HOSTS": "4", "NAME": "faces", "QUEUE": "team"}
    done = run(ROOT / "launch/gke.sh", *ARGUMENTS, cwd=tmp_path, **settings)
    assert done.returncode == 0 and done.stderr == ""
    whole = yaml.safe_load(done.stdout)
    assert (whole["apiVersion"], whole["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    assert whole["metadata"] == {"name": "faces", "labels": {"kueue.x-k8s.io/queue-name": "team"}}
    assert whole["spec"]["failurePolicy"] == {"maxRestarts": 100}
    [worker] = whole["spec"]["replicatedJobs"]
    job = worker["template"]["spec"]
    assert (job["parallelism"], job["completions"], job["completionMode"]) == (4, 4, "Indexed")
    [container] = job["template"]["spec"]["containers"]
    assert container["command"] == ["python", "-m", "expressnet_jax.main", *ARGUMENTS]
    told = {each["name"]: each.get("value") for each in container["env"]}
    assert (
        told["JAX_COORDINATOR_ADDRESS"] == f"faces-{worker['name']}-0-0.faces:8476" and told["JAX_NUM_PROCESSES"] == "4"
    )
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in job["template"]["spec"]["volumes"]}


def test_the_jobset_has_published_fields_only(tmp_path):
    """JobSet's own, from its reference of v1alpha2, and those of the Kubernetes types within."""
    client = pytest.importorskip("kubernetes.client")
    done = run(ROOT / "launch/gke.sh", *ARGUMENTS, cwd=tmp_path, DRY_RUN="1", IMAGE="registry/expressnet:1")
    whole = yaml.safe_load(done.stdout)
    assert whole.keys() == {"apiVersion", "kind", "metadata", "spec"}
    assert whole["spec"].keys() == {"failurePolicy", "replicatedJobs"}
    [worker] = whole["spec"]["replicatedJobs"]
    assert worker.keys() == {"name", "replicas", "template"}
    client.V1ObjectMeta(**whole["metadata"])
    client.V1JobTemplateSpec(**worker["template"])
    pod = worker["template"]["spec"]["template"]["spec"]
    pod["restartpolicy"] = pod.pop("restartPolicy")
    with pytest.raises(ValueError, match="restartpolicy"):
        client.V1JobTemplateSpec(**worker["template"])


def test_a_slurm_job_runs_the_same_command_on_every_node(tmp_path):
    settings = {"DRY_RUN": "1", "NODES": "3", "GPUS": "2", "PARTITION": "gpu"}
    done = run(ROOT / "launch/slurm.sh", *ARGUMENTS, cwd=tmp_path, **settings)
    assert done.returncode == 0 and done.stderr == ""
    asked, job = done.stdout.split("--wrap=")
    assert {"--nodes=3", "--ntasks-per-node=1", "--gpus-per-node=2", "--requeue", "--partition=gpu"} <= set(
        asked.split()
    )
    assert "--account" not in asked and job.startswith("export JAX_LOCAL_DEVICE_IDS=0,1\n")
    words = shlex.split(job.splitlines()[1].split("&")[0])
    assert words[2:] == [".venv/bin/python", "-m", "expressnet_jax.main", *ARGUMENTS]
    assert subprocess.run(["bash", "-n"], input=job, text=True).returncode == 0


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("", ["create", "set -e", "cd expressnet", "delete"]),
        ("ACTIVE", ["set -e", "cd expressnet", "delete"]),
        ("SUSPENDED", ["delete", "create", "set -e", "cd expressnet", "delete"]),
    ],
)
def test_a_tpu_slice_is_asked_for_where_there_is_none(tmp_path, state, expected):
    settings = {"DRY_RUN": "1", "BUCKET": "faces", "DRY_STATE": state, "TYPE": "v5litepod-16", "PROJECT": "p"}
    done = run(ROOT / "launch/tpu.sh", "run", *ARGUMENTS[:3], cwd=tmp_path, **settings)
    assert done.returncode == 0 and done.stderr == ""
    steps = done.stdout.split("would run: ")[1:]
    assert len(steps) == len(expected)
    assert [word in step for word, step in zip(expected, steps, strict=True)] == [True] * len(steps)
    assert all("--zone=us-central2-b --project=p" in step for step in steps)
    assert "-m expressnet_jax.main --config configs/affectnet.py" in steps[-2] and "--distributed=on" in steps[-2]


@pytest.mark.parametrize("name", ["gke", "slurm", "tpu"])
def test_without_arguments_they_say_so(tmp_path, name):
    done = run(ROOT / f"launch/{name}.sh", cwd=tmp_path, DRY_RUN="1")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: give ") and done.stderr.count("\n") == 1


def test_skypilot_and_docker_name_what_there_is():
    task = yaml.safe_load((ROOT / "launch/skypilot.yaml").read_text())
    assert {"resources", "num_nodes", "workdir", "envs", "file_mounts", "setup", "run"} <= task.keys()
    assert subprocess.run(["bash", "-n"], input=task["run"], text=True).returncode == 0
    assert (ROOT / task["envs"]["ARGUMENTS"].split()[1]).is_file()
    copied = re.findall(r"^COPY (.+) \S+$", (ROOT / "launch/Dockerfile").read_text(), re.M)
    assert copied and all((ROOT / name).exists() for words in copied for name in words.split())


def test_the_quickstart_hands_on_workdir_and_arguments(clone, tmp_path):
    arguments = ("--config.train.epochs=1", "--config.export=")
    done = run(clone / "launch/quickstart.sh", *arguments, cwd=tmp_path, DRY_RUN="1", WORKDIR="runs/mine")
    last = done.stdout.splitlines()[-1]
    assert last.endswith("--config configs/quickstart.py --workdir runs/mine --config.train.epochs=1 --config.export=")


def test_the_tests_hand_on_arguments(clone, tmp_path):
    done = run(clone / "launch/test.sh", "-k", "labels", cwd=tmp_path, DRY_RUN="1")
    last = done.stdout.splitlines()[-1]
    assert last.startswith("would run: .venv/bin/python -m pytest -n ") and last.endswith(" -k labels")


def test_the_tests_against_pytorch_install_it_first(clone, tmp_path):
    installs = lambda *arguments: [
        line
        for line in run(
            clone / "launch/test.sh", *arguments, cwd=tmp_path, DRY_RUN="1", TORCH="torch==2.13.0"
        ).stdout.splitlines()
        if line.endswith("torch==2.13.0")
    ]
    assert len(installs("-m", "torch")) == len(installs("-m", "fast or torch", "-x")) == 1
    assert not installs("-m", "fast") and not installs("-k", "torch")


def test_setting_up_twice_installs_once_for_each_set_of_extras(clone, tmp_path):
    """With a Python that only notes what it is asked to do."""
    fake = tmp_path / "python"
    fake.write_text(
        f'#!/usr/bin/env bash\necho "$*" >> {tmp_path}/asked\n[ "$1" = --version ] && echo "Python 3.11.9"\n'
        f'if [ "$2" = venv ]; then mkdir -p .venv/bin && cp {tmp_path}/python .venv/bin/python; fi\nexit 0\n'
    )
    fake.chmod(0o755)
    installs = lambda: [line for line in (tmp_path / "asked").read_text().splitlines() if "pip install" in line]
    for extras in ("", "", "test", "", "test"):
        done = run(clone / "launch/setup.sh", extras, cwd=tmp_path, PYTHON=str(fake))
        assert done.returncode == 0, done.stderr
    assert [line.rsplit(" ", 1)[1] for line in installs()] == [".", ".[test]"]
    (clone / "pyproject.toml").write_text((clone / "pyproject.toml").read_text() + "# changed\n")
    run(clone / "launch/setup.sh", "", cwd=tmp_path, PYTHON=str(fake))
    assert len(installs()) == 3


def test_an_installation_that_failed_is_tried_again(clone, tmp_path):
    fake = tmp_path / "python"
    fake.write_text(
        f'#!/usr/bin/env bash\n[ "$1" = --version ] && echo "Python 3.11.9"\n'
        f'if [ "$2" = venv ]; then mkdir -p .venv/bin && cp {tmp_path}/python .venv/bin/python; fi\n[ "$2" != pip ]\n'
    )
    fake.chmod(0o755)
    for _ in range(2):
        assert run(clone / "launch/setup.sh", "", cwd=tmp_path, PYTHON=str(fake)).returncode == 1
    assert not list((clone / ".venv").glob("installed*"))


def test_an_old_python_is_refused_in_one_line(clone, tmp_path):
    old = tmp_path / "python"
    old.write_text('#!/usr/bin/env bash\n[ "$1" = --version ] && echo "Python 3.9.2" && exit 0\nexit 1\n')
    old.chmod(0o755)
    done = run(clone / "launch/quickstart.sh", cwd=tmp_path, PYTHON=str(old))
    assert done.returncode == 2
    assert done.stderr == "error: Python 3.9.2 is too old; set PYTHON to a Python 3.11 or newer\n"


def test_a_python_that_is_not_there_is_refused_in_one_line(clone, tmp_path):
    done = run(clone / "launch/quickstart.sh", cwd=tmp_path, PYTHON="/nothing/python3")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "set PYTHON" in done.stderr
