"""How speed grows with the devices: worked out by hand for two made-up targets, and drawn."""

import pytest
from PIL import Image

from expressnet_jax import cli
from expressnet_jax.bench.scaling import scaling_png, scaling_rows, scaling_table


def compiled(devices, links):
    """Figures of a step of 100 images a device that computes for 8 ms and exchanges for `links` ms."""
    times = {"compute": 8.0, "memory": 5.0, "launches": 1.0, "links": links, "step": max(8.0, links)}
    return {
        "target": f"tpu:v5e:1x{devices}",
        "devices": devices,
        "batch_size": 100 * devices,
        "memory_bytes": {"arguments": 2**29, "temporary": 2**29},
        "collectives": {"count": 30, "bytes": 4e6},
        "milliseconds": times,
    }


FOUND = [compiled(16, 10.0), compiled(1, 0.0), compiled(4, 2.0)]


def test_efficiency_is_the_speed_of_a_device_against_one_alone():
    one, four, sixteen = scaling_rows(FOUND)
    assert one["efficiency"] == {"hidden": 1, "exposed": 1} and one["images_per_second"]["hidden"] == 12_500
    assert four["efficiency"] == {"hidden": 1, "exposed": pytest.approx(0.8)}
    assert sixteen["efficiency"] == {"hidden": pytest.approx(0.8), "exposed": pytest.approx(8 / 18)}
    assert scaling_table([one, four, sixteen]).splitlines()[3] == (
        "| 4 | 400 | 1.00 GiB | 30 (4.00) | 40,000 to 50,000 | 80 to 100 % |"
    )


def test_the_plot_is_an_image(tmp_path):
    with Image.open(scaling_png(scaling_rows(FOUND), tmp_path / "scaling.png", "made up")) as image:
        assert image.format == "PNG" and min(image.size) > 400


def test_a_plot_of_one_size_is_refused_before_compiling(capsys):
    assert cli.main(["bench", "compile", "--plot", "x.png"]) == 2
    assert "give --per_device and several --targets" in capsys.readouterr().err
