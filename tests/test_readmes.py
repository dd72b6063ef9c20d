"""The READMEs are short, their links lead somewhere, and the commands and data sets in them are those that exist."""

import re
import shlex
from pathlib import Path

import pytest

from expressnet_jax.cli import main
from expressnet_jax.data.datasets import SOURCES

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("README.md")), *sorted(ROOT.glob("[cel]*/**/README.md"))]
BASH = re.compile(r"```bash\n(.*?)```", re.DOTALL)
LINK = re.compile(r"\]\(([^)#:]+)\)")


def commands():
    """(command, its flags) of every `expressnet ...` line."""
    for page in PAGES:
        for block in BASH.findall(page.read_text(encoding="utf-8")):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line.partition("expressnet ")[2], comments=True)
                if words and re.search(r"(^|&& )expressnet ", line):
                    yield words[0], {word.partition("=")[0] for word in words if word.startswith("--")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_is_short_and_its_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= (150 if page == ROOT / "README.md" else 200)
    assert [link for link in LINK.findall(text) if not (page.parent / link).exists()] == []


def test_the_commands_have_the_flags_that_the_pages_show(capsys):
    wanted = {}
    for command, flags in commands():
        wanted.setdefault(command, set()).update(flags)
    assert {"predict", "prepare", "audit", "evaluate", "export", "finetune"} <= set(wanted)
    for command, flags in wanted.items():
        with pytest.raises(SystemExit) as end:
            main([command, "--help"])
        known = set(re.findall(r"--\w+", capsys.readouterr().out))
        assert end.value.code == 0 and flags <= known, (command, flags - known)


def test_the_table_of_data_sets_is_that_of_the_help():
    text = (ROOT / "expressnet_jax" / "data" / "README.md").read_text(encoding="utf-8").replace("`", "")
    plain = re.sub(r" \((?:which have no votes|\+ fer2013_landmarks.*?)\)", "", text)
    for name, reads in SOURCES.items():
        assert f"| {name} | {reads} |" in plain


def test_every_config_and_script_is_described():
    for folder, pattern in (("configs", "*.py"), ("launch", "*.sh")):
        text = (ROOT / folder / "README.md").read_text(encoding="utf-8")
        names = [path.stem if folder == "configs" else path.name for path in (ROOT / folder).glob(pattern)]
        assert [name for name in names if not re.search(rf"`{name}[`: ]", text)] == []


def test_the_figure_is_small():
    assert 0 < (ROOT / "configs" / "results" / "quickstart.png").stat().st_size < 200_000
