"""What a compiled program's text says: kernels, bytes, gathers, exchanges; the cards, the targets, the roofline."""

import json
import os
import sys
from dataclasses import fields

import jax
import jax.numpy as jnp
import pytest

from expressnet_jax.accelerators import compiler_process
from expressnet_jax.accelerators.cards import CARDS, Card, card_of, find_card
from expressnet_jax.accelerators.counts import Collective, count
from expressnet_jax.accelerators.gpu_config import gpu_config
from expressnet_jax.accelerators.hlo import Array, arrays, parse
from expressnet_jax.accelerators.parts import part_of, part_table
from expressnet_jax.accelerators.report import comparison, step_figures, target_lines
from expressnet_jax.accelerators.roofline import COMPUTE_SHARE, MEMORY_SHARE, step_time
from expressnet_jax.accelerators.target import IN_CHILD, check_compiler, compiler_environment, parse_target
from expressnet_jax.errors import UserError

# Two steps of a loop: a library's convolution with its scratch, a fusion that reads one of two rows and writes one of
# two in place, a gather inside a fusion, an exchange that overlaps and one that does not; a copy outside the loop.
TEXT = """HloModule jit_step, entry_computation_layout={(f32[8]{0})->f32[8]{0}}

FileNames
1 "/home/ann/lib/site-packages/flax/linen/linear.py"
2 "/home/ann/code/expressnet_jax/training/step.py"

FunctionNames
1 "__call__"

FileLocations
1 {file_name_id=1 function_name_id=1 line=700 end_line=700 column=12 end_column=24}
2 {file_name_id=2 function_name_id=1 line=96 end_line=96 column=12 end_column=24}

StackFrames
1 {file_location_id=2 parent_frame_id=1}
2 {file_location_id=1 parent_frame_id=1}


%fused_slice (param_0: f32[2,1024], param_1: s32[], param_2: f32[2,1024]) -> f32[2,1024] {
  %param_0 = f32[2,1024]{1,0} parameter(0)
  %param_1 = s32[] parameter(1)
  %param_2 = f32[2,1024]{1,0} parameter(2)
  %zero = s32[] constant(0)
  %row = f32[1,1024]{1,0} dynamic-slice(%param_0, %param_1, %zero), dynamic_slice_sizes={1,1024}
  %twice = f32[1,1024]{1,0} add(%row, %row)
  ROOT %update = f32[2,1024]{1,0} dynamic-update-slice(%param_2, %twice, %param_1, %zero)
}

%fused_gather (table: u8[100,48], rows: s32[16]) -> u8[16,48] {
  %table = u8[100,48]{1,0} parameter(0)
  %rows = s32[16]{0} parameter(1)
  ROOT %found = u8[16,48]{1,0} gather(%table, %rows), offset_dims={1}
}

%add (x: f32[], y: f32[]) -> f32[] {
  %x = f32[] parameter(0)
  %y = f32[] parameter(1)
  ROOT %sum = f32[] add(%x, %y)
}

%body (state: (s32[], f32[2,1024], f32[2,1024], u8[100,48], s32[16], /*index=5*/bf16[4,8,8,3])) -> (s32[]) {
  %state = (s32[], f32[2,1024], f32[2,1024], u8[100,48], s32[16], /*index=5*/bf16[4,8,8,3]) parameter(0)
  %i = s32[] get-tuple-element(%state), index=0
  %a = f32[2,1024]{1,0} get-tuple-element(%state), index=1
  %b = f32[2,1024]{1,0} get-tuple-element(%state), index=2
  %t = u8[100,48]{1,0} get-tuple-element(%state), index=3
  %r = s32[16]{0} get-tuple-element(%state), index=4
  %image = bf16[4,8,8,3]{3,2,1,0} get-tuple-element(%state), index=5
  %kernel = bf16[3,3,3,16]{3,2,1,0} constant({...})
  %conv = (bf16[4,8,8,16]{3,2,1,0}, u8[4096]{0}) custom-call(%image, %kernel), custom_call_target="__cudnn$convForward"
  %slice = f32[2,1024]{1,0} fusion(%a, %i, %b), calls=%fused_slice, metadata={op_name="update/add" stack_frame_id=2}
  %picked = u8[16,48]{1,0} fusion(%t, %r), kind=kLoop, calls=%fused_gather
  %begun = f32[2,1024]{1,0} all-reduce-start(%slice), replica_groups={{0,1}}, to_apply=%add
  %done = f32[2,1024]{1,0} all-reduce-done(%begun)
  %now = f32[2,1024]{1,0} all-reduce(%b), replica_groups={{0,1}}, to_apply=%add
  ROOT %next = (s32[], f32[2,1024]{1,0}) tuple(%i, %done)
}

%condition (state: (s32[])) -> pred[] {
  %state.1 = (s32[]) parameter(0)
  ROOT %less = pred[] constant(true)
}

ENTRY %main (x: f32[8]) -> f32[8] {
  %x.1 = f32[8]{0} parameter(0)
  %loop = (s32[]) while(%x.1), condition=%condition, body=%body, backend_config={"known_trip_count":{"n":"2"}}
  ROOT %copy = f32[8]{0} copy(%x.1)
}
"""


def test_the_arrays_of_a_type_and_their_bytes():
    assert arrays("(bf16[4,8]{1,0:T(8,128)(2,1)}, /*index=1*/pred[], s4[6]{0}, f8e4m3fn[3]{0})") == (
        Array("bf16", (4, 8)),
        Array("pred", ()),
        Array("s4", (6,)),
        Array("f8e4m3fn", (3,)),
    )
    sizes = [array.bytes for array in arrays("bf16[4,8], pred[], s4[6], f8e4m3fn[3], f32[2], c64[1], token[]")]
    assert sizes == [64, 1, 3, 3, 8, 8, 0]
    assert arrays("f32[8,128]{1,0:T(8,128)S(1)}")[0].near  # a TPU's vector memory


def test_kernels_bytes_gathers_and_exchanges_are_counted_through_the_loop():
    counts = count(parse(TEXT))
    assert counts.by_kind() == {"library": 2, "fusion": 4, "collective": 4, "copy": 1}
    found = {kernel.name: kernel.bytes for kernel in counts.kernels}
    convolution = 2 * (4 * 8 * 8 * 3 + 3 * 3 * 3 * 16 + 4 * 8 * 8 * 16)  # bfloat16, without the scratch
    row, whole = 4 * 1024, 4 * 2 * 1024
    assert found["conv"] == convolution
    assert found["slice"] == row + 4 + row  # one row in, the place, one row written in place
    assert found["picked"] == 16 * 48 + 16 * 4 + 16 * 48  # of the table what is picked
    assert found["copy"] == 2 * 4 * 8
    assert counts.gathers == 2
    assert counts.collectives == [
        Collective("all-reduce", 2.0, whole, True),
        Collective("all-reduce", 2.0, whole, False),
    ]
    assert found["begun"] == found["now"] == 2 * whole


def test_a_loop_of_unknown_length_is_taken_to_be_as_long_as_one_says():
    text = TEXT.replace(', backend_config={"known_trip_count":{"n":"2"}}', "")
    assert count(parse(text), unknown_trips=3).by_kind() == {"library": 3, "fusion": 6, "collective": 6, "copy": 1}
    with pytest.raises(ValueError, match="no ENTRY"):
        parse("HloModule empty")


def test_a_program_of_this_machines_compiler_is_counted():
    """A matrix product of known size, five times in a loop: its operands and its result are all that moves."""
    weight = jnp.ones((64, 64))

    def steps(x):
        return jax.lax.scan(lambda x, _: (jnp.matmul(x, weight), None), x, length=5)[0]

    counts = count(parse(jax.jit(steps).lower(jnp.ones((32, 64))).compile().as_text()))
    repeated = [kernel.bytes for kernel in counts.kernels if kernel.starts == 5]
    assert 4 * (64 * 64 + 2 * 32 * 64) in repeated


def test_exchanges_of_this_machines_compiler_are_counted(mesh_of):
    """The gradient of a mean over a batch on four devices is summed once: its bytes, on each device."""
    mesh = mesh_of(4)
    spread, everywhere = (jax.NamedSharding(mesh, jax.P(*axes)) for axes in (("data",), ()))
    place = lambda shape, sharding: jax.ShapeDtypeStruct(shape, jnp.float32, sharding=sharding)
    gradient = jax.jit(jax.grad(lambda w, x: (x @ w).sum()), out_shardings=everywhere)
    compiled = gradient.lower(place((16, 4), everywhere), place((32, 16), spread)).compile()
    counts = count(parse(compiled.as_text()))
    assert {each.operation for each in counts.collectives} == {"all-reduce"}
    assert sum(each.bytes for each in counts.collectives) in (4 * 16, 4 * 16 * 4)  # before or after it is broadcast


@pytest.mark.parametrize(
    ("text", "topology", "devices"),
    [
        ("tpu:v5e:2x2", "2x2", 4),
        ("tpu:v4:2x2x2", "2x2x2", 8),
        ("gpu:h200", "1x1x1", 1),
        ("gpu:h100:8", "1x1x8", 8),
        ("gpu:a100:16", "1x2x8", 16),
    ],
)
def test_a_target_is_a_card_and_a_topology(text, topology, devices):
    target = parse_target(text)
    assert (target.topology, target.devices) == (topology, devices)
    assert target.card is CARDS[text.split(":")[1]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cuda:h200", "no platform 'cuda'; give one like tpu:v5e:2x2"),
        ("gpu:h20", "no such gpu; one of h200, h100, a100, l4"),
        ("tpu:v5e", "v5e needs a topology like tpu:v5e:2x2"),
        ("tpu:v4:2x2", "v4 needs a topology like tpu:v4:2x2x1"),
        ("gpu:h200:0", "give 1 to 8 GPUs, or a multiple of 8"),
        ("gpu:h200:12", "give 1 to 8 GPUs, or a multiple of 8"),
    ],
)
def test_a_target_that_is_none_is_refused(text, message):
    with pytest.raises(UserError, match=message):
        parse_target(text)


def test_a_missing_compiler_is_named_with_the_line_that_installs_it(monkeypatch):
    monkeypatch.setattr("expressnet_jax.accelerators.target.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs the TPU compiler, not the device; pip install 'expressnet-jax\[tpu\]'"):
        check_compiler(parse_target("tpu:v5e:2x2"))
    with pytest.raises(UserError, match=r"'expressnet-jax\[cuda13\]'"):
        check_compiler(parse_target("gpu:l4"))


def test_the_compilers_process_keeps_the_cpu_and_finds_its_libraries(tmp_path, monkeypatch):
    for folder in ("cudnn/lib", "cu13/lib", "cu13/bin"):
        (tmp_path / "nvidia" / folder).mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    found = compiler_environment(parse_target("gpu:h200"), {"LD_LIBRARY_PATH": "/own", "XLA_FLAGS": "--xla_cpu_x=1"})
    assert found["LD_LIBRARY_PATH"].split(os.pathsep) == [
        str(tmp_path / "nvidia/cu13/lib"),
        str(tmp_path / "nvidia/cudnn/lib"),
        "/own",
    ]
    flags = found["XLA_FLAGS"].split()
    assert {"--xla_gpu_autotune_level=0", f"--xla_gpu_cuda_data_dir={tmp_path}/nvidia/cu13"} < set(flags)
    assert not any("cpu" in flag for flag in flags)
    assert found["JAX_PLATFORMS"] == "cpu" and found["EXPRESSNET_TUNE"] == "0" and found[IN_CHILD] == "gpu:h200"
    assert compiler_environment(parse_target("tpu:v5e:2x2"), {"XLA_FLAGS": "--xla_cpu_x=1"})["XLA_FLAGS"] == ""


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("print('log'); print('{\"kernels\": 3}')", {"kernels": 3}),
        (
            "import sys; print('noise\\nerror: train.batch_size: 3', file=sys.stderr); sys.exit(2)",
            "^train.batch_size: 3$",
        ),
        ("import sys; print('F1128 no driver', file=sys.stderr); sys.exit(6)", "ended with status 6: F1128 no driver"),
    ],
)
def test_the_compilers_process_answers_in_json_or_says_why_not(monkeypatch, program, expected):
    monkeypatch.setattr(compiler_process, "check_compiler", lambda target: None)
    run = lambda: compiler_process.run_compiler(parse_target("gpu:h200"), ["-c", program])
    if isinstance(expected, dict):
        assert run() == expected
    else:
        with pytest.raises(UserError, match=expected):
            run()


def test_cards_are_found_by_their_name_and_by_what_jax_calls_them():
    assert find_card("v5e", "tpu").memory == 16e9
    assert card_of("NVIDIA H200 141GB HBM3e") is CARDS["h200"] and card_of("TPU v5 lite") is CARDS["v5e"]
    assert card_of("TPU v5") is CARDS["v5p"] and card_of("cpu") is None
    assert card_of("NVIDIA A100-SXM4-80GB") is CARDS["a100"] and card_of("NVIDIA L4") is CARDS["l4"]
    assert card_of("NVIDIA L40S") is card_of("NVIDIA L40") is card_of("TPU v5e") is None
    for card in CARDS.values():
        figures = [getattr(card, each.name) for each in fields(Card) if each.name not in ("platform", "kind", "launch")]
        assert min(figures) > 1e9 and card.peak("bfloat16") >= card.peak("float32")


@pytest.mark.parametrize("name", [name for name, card in CARDS.items() if card.platform == "gpu"])
def test_a_gpus_description_has_its_cards_figures(name):
    text = gpu_config(name)
    assert f"device_memory_size: {CARDS[name].memory:.0f}\n" in text and text.count("{") == text.count("}")
    assert f"memory_bandwidth: {CARDS[name].bandwidth:.0f}\n" in text


def test_the_roofline_is_the_largest_of_arithmetic_memory_starts_and_links():
    card = Card("gpu", "made up", 1e9, 1e12, 2e14, 1e14, 1e11, 1e10, 2e-6)
    exchange = Collective("all-reduce", 1.0, 4e8, False)
    options = {"dtype": "bfloat16", "kernels": 100, "collectives": [exchange], "devices": 4}
    time = step_time(card, flops=1e12, moved=9e9, **options)
    assert time.compute == pytest.approx(1e12 / (COMPUTE_SHARE * 2e14))
    assert time.memory == pytest.approx(9e9 / (MEMORY_SHARE * 1e12))
    assert time.launches == pytest.approx(2e-4) and time.links == pytest.approx(2 * 3 / 4 * 4e8 / 1e11)
    assert time.bound == "compute" and time.seconds == time.compute
    assert step_time(card, flops=1e11, moved=9e9, **options).bound == "memory"
    assert step_time(card, flops=0, moved=0, **options | {"devices": 1}).links == 0
    several_hosts = step_time(card, flops=0, moved=0, **options | {"devices": 16})
    assert several_hosts.links == pytest.approx(2 * 15 / 16 * 4e8 / 1e10)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("jit(f)/while/body/closed_call/jvp(Network)/Network.features/backbone/block2/norm_1/mul", "norm"),
        ("jit(f)/while/body/transpose(jvp(Network))/backbone/block2/norm_1/reduce_sum", "norm, backward"),
        ("jit(f)/while/body/cond/branch_1_fun/step.<locals>.one/jit(_where)/select_n", "(unnamed)"),
        ("", "(unnamed)"),
    ],
)
def test_the_part_of_a_kernel_is_its_last_named_scope(name, part):
    assert part_of(name) == part


def test_kernels_are_grouped_by_part_with_the_projects_own_line():
    figures = step_figures(parse_target("gpu:h200"), count(parse(TEXT)), {}, steps=2, flops=0.0, dtype="bfloat16")
    named = {row["part"]: row for row in figures["parts"]}
    # The fusion, and the exchange of its result, which is unnamed; each once a step.
    assert named["update"]["kernels"] == 2 and named["update"]["line"] == "expressnet_jax/training/step.py:96"
    assert sum(row["kernels"] for row in figures["parts"]) == figures["kernels"]
    assert sum(row["bytes"] for row in figures["parts"]) == figures["bytes"]
    assert "| update | 2 | 0.00 | `expressnet_jax/training/step.py:96` |" in part_table(figures)


def test_the_report_says_what_fits_what_bounds_and_what_is_largest():
    memory = {"arguments": 2**30, "results": 0, "temporary": 2**31, "code": 0}
    target = parse_target("gpu:h200:2")
    figures = step_figures(target, count(parse(TEXT)), memory, steps=2, flops=1e12, dtype="bfloat16")
    assert figures["kernels"] == 5.5 and figures["gathers"] == 1 and figures["fits"]
    assert figures["collectives"] == {"count": 2, "bytes": 2 * 8192, "overlapping": 1}
    assert figures["largest"][0]["bytes"] == 2 * 8192
    assert json.loads(json.dumps(figures)) == figures
    lines = "\n".join(target_lines(figures | {"batch_size": 64, "compile_seconds": 10.0}))
    assert "a step of 64 images on gpu:h200:2 (2 devices), bfloat16, compiled in 10 s" in lines
    assert (
        "memory of each device: 3.00 of 141 GiB, 2.00 of it on the way; fits" in lines and "bound by compute" in lines
    )
    small = step_figures(
        parse_target("tpu:v5e:1x1"), count(parse(TEXT)), memory | {"code": 2**34}, steps=2, flops=0.0, dtype="bfloat16"
    )
    assert not small["fits"] and "DOES NOT FIT" in "\n".join(
        target_lines(small | {"batch_size": 64, "compile_seconds": 1.0})
    )
    rows = comparison([figures, small]).splitlines()
    assert len(rows) == 4 and rows[3].startswith("| `tpu:v5e:1x1` | 19.00 GiB, does not fit |")
