"""Shell completion: what a shell offers at a place of the command line, and that no command is forgotten."""

import subprocess

import pytest

from expressnet_jax import cli
from expressnet_jax.completion import SHELLS

pytest.importorskip("shtab")
COMMANDS = ("prepare", "evaluate", "export", "sweep", "runs", "completion")
ASK = """
source {script}
COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMP_LINE="{words}"; COMP_POINT=${{#COMP_LINE}}
$(complete -p expressnet | sed 's/.*-F \\([^ ]*\\).*/\\1/')
echo "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize("shell", SHELLS)
def test_every_command_and_its_flags_are_in_the_script(shell, capsys):
    assert cli.main(["completion", shell]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in (*COMMANDS, "halving", "calibrate", "leave-one-subject-out"))


def test_bash_offers_what_fits(tmp_path, capsys):
    assert cli.main(["completion", "bash"]) == 0
    (tmp_path / "expressnet.bash").write_text(capsys.readouterr().out)
    (tmp_path / "model.onnx").touch()
    expected = {
        "expressnet swe": "sweep",
        "expressnet export --in": "--input --int8",
        "expressnet export --input u": "uint8",
        "expressnet bench st": "start step",
        f"expressnet export --output {tmp_path}/m": f"{tmp_path}/model.onnx",
    }
    for words, offered in expected.items():
        text = ASK.format(script=tmp_path / "expressnet.bash", words=words)
        ran = subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=True)
        assert ran.stdout.strip() == offered, words
