"""`expressnet data`: what is stored, what it takes, and how it goes away."""

import json
import os

import pytest

from expressnet_jax import cli
from expressnet_jax.data import prepare as module
from expressnet_jax.data import record_writer
from expressnet_jax.data.prepare import prepare
from expressnet_jax.data.store import load
from runs import write_images


@pytest.fixture
def data_dir(tmp_path):
    """`mine` from two sources, `other` from one."""
    for name, stored_as, count in (("a", "mine", 3), ("b", "mine", 4), ("c", "other", 2)):
        source = write_images(tmp_path / name, {"train": count}, size=24)
        prepare("folder", source, tmp_path / "data", name=stored_as)
    return tmp_path / "data"


@pytest.fixture
def call(capsys, data_dir):
    def run(*arguments):
        try:
            status = cli.main(["data", *map(str, arguments), "--data_dir", str(data_dir)])
        except SystemExit as leave:
            status = leave.code
        return status, *capsys.readouterr()

    return run


def test_the_list_has_name_identity_examples_size_and_source(call, data_dir, tmp_path):
    status, out, err = call()
    lines = out.splitlines()
    assert status == 0 and err == "" and lines[0].split() == ["name", "examples", "size", "last", "used", "source"]
    last = load("mine", data_dir)
    assert [line.split()[0].split("@")[0] for line in lines[1:-1]] == ["mine", "mine", "other"]
    assert lines[2].split()[:3] == [last.label, "train", "12"] and lines[2].endswith(str(tmp_path / "b"))
    assert lines[-1].startswith("3 in all, ")


def test_json_is_printed_or_written(call, data_dir, tmp_path):
    status, out, _ = call("--json")
    printed = json.loads(out)
    assert status == 0 and [each["examples"] for each in printed] == [{"train": 9}, {"train": 12}, {"train": 6}]
    home = load("other", data_dir).directory.parent
    held = sum(os.path.getsize(os.path.join(folder, name)) for folder, _, names in os.walk(home) for name in names)
    assert printed[2]["bytes"] == held and printed[2]["path"] == str(home)
    status, out, _ = call("list", "other", "--json", tmp_path / "list.json")
    assert status == 0 and json.loads((tmp_path / "list.json").read_text()) == {"sets": printed[2:]}


def test_one_of_several_has_to_be_named_and_goes_alone(call, data_dir):
    status, out, err = call("remove", "mine")
    assert status == 2 and out == "" and err.count("mine@") == 2 and "several prepared sets" in err
    last = load("mine", data_dir)
    status, out, err = call("remove", last.label[:10])
    assert status == 0 and err == "" and out.startswith(f"removed {last.label}: ") and "KiB are free" in out
    assert load("mine", data_dir).splits == {"train": 9} and load("other", data_dir).splits == {"train": 6}


def test_what_was_not_used_for_long_goes(call, data_dir):
    last = load("mine", data_dir)
    for record in (data_dir / "mine/sources").iterdir():
        content = json.loads(record.read_text())
        if content["identity"] != last.identity:
            record.write_text(json.dumps(content | {"prepared": 1e9}))
    assert call("remove", "--unused", "30")[1].count("removed mine@") == 1
    assert load("mine", data_dir).directory == last.directory and len(call("--json")[1]) > 2
    assert call("remove", "--unused", "30")[:2] == (0, "")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["remove"], "give NAME[@ID] or --unused DAYS"),
        (["remove", "mien"], "mien: no such prepared set; one of: mine@"),
        (["list", "mien"], "mien: no such prepared set; one of: mine@"),
        (["drop"], "invalid choice: 'drop'"),
        (["--unused", "long"], "'long' is no number of days"),
    ],
)
def test_what_can_not_be_done_is_one_line(call, arguments, expected):
    status, out, err = call(*arguments)
    assert status == 2 and out == "" and expected in err and err.count("\n") == 1


def test_what_an_interruption_left_is_listed_and_can_be_removed(call, data_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(record_writer, "EXAMPLES_PER_FILE", 4)
    monkeypatch.setattr(record_writer, "EXAMPLES_PER_WRITE", 4)
    whole = module.FaceBuilder.examples

    def interrupted(self, *arguments):
        for number, example in enumerate(whole(self, *arguments)):
            if number == 6:
                raise KeyboardInterrupt
            yield example

    monkeypatch.setattr(module.FaceBuilder, "examples", interrupted)
    source = write_images(tmp_path / "long", {"train": 5}, size=24)
    with pytest.raises(KeyboardInterrupt):
        prepare("folder", source, data_dir, name="long")
    (line,) = [line for line in call()[1].splitlines() if line.startswith("long@")]
    assert line.startswith("long@interrupted-") and "not whole" in line and line.endswith(str(source))
    status, out, _ = call("remove", "long@interrupted")
    assert status == 0 and out.startswith("removed long@interrupted-") and not list(data_dir.glob(".long*.partial"))


def test_an_empty_folder_says_so(tmp_path, capsys):
    assert cli.main(["data", "--data_dir", str(tmp_path / "none")]) == 0
    assert capsys.readouterr().out == f"no prepared data set in {tmp_path / 'none'}\n"
