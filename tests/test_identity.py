"""Identity pretraining: people in folders and kept apart, classes spread over devices, and a run from end to end."""

import json

import cv2
import jax
import numpy as np
import pytest

from expressnet_jax.config import classification_loss, default
from expressnet_jax.data.prepare import prepare
from expressnet_jax.errors import UserError
from expressnet_jax.models.expressnet import ExpressNet
from expressnet_jax.models.network import image_classifier
from expressnet_jax.training import classification, identity, loop, mesh
from expressnet_jax.training.checkpoints.reading import load_checkpoint
from expressnet_jax.training.optimizers import make_optimizer, make_schedule
from expressnet_jax.training.state import init_state, make_init_fn
from expressnet_jax.training.step import make_train_step, supervised
from expressnet_jax.training.targets import build_losses, class_fields
from weights import drawn_weights

pytest_plugins = ["run_fixtures"]

NAMES = [f"Person_{chr(65 + i)}" for i in range(20)]


def write_people(root, names=NAMES, images=3, places=("",)):
    """Each person is a gray of their own under noise: ROOT/PLACE/PERSON/PERSON_0001.png."""
    rng = np.random.default_rng(0)
    for k, name in enumerate(names):
        folder = root / places[k % len(places)] / name
        folder.mkdir(parents=True)
        for i in range(images):
            image = rng.normal(20 + 10 * k, 15, (32, 32)).clip(0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / f"{name}_{i + 1:04d}.png"), image)
    return root


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """(data_dir, prepared): twenty people, six of them held out."""
    root = tmp_path_factory.mktemp("people")
    source = write_people(root / "images")
    return root / "data", prepare("identity", source, root / "data", name="people", holdout=0.3)


def test_people_not_images_are_divided(people):
    _, prepared = people
    assert prepared.splits == {"train": 42, "validation": 18}
    train, validation = (prepared.split(name) for name in prepared.splits)
    assert set(train.subjects).isdisjoint(validation.subjects)
    assert sorted(set(train.labels)) == list(range(14)) and sorted(set(validation.labels)) == list(range(14, 20))
    assert [prepared.classes[label] for label in train.labels] == train.subjects.tolist()


@pytest.mark.parametrize("places", [("",), ("train", "test")])
def test_layouts_of_folders_give_the_same_people(tmp_path, places):
    prepared = prepare("identity", write_people(tmp_path / "images", places=places), tmp_path / "data")
    assert sum(prepared.splits.values()) == 60 and sorted(prepared.classes) == NAMES


def test_a_legend_gives_them_too_and_people_with_one_image_are_left_out(tmp_path):
    root = tmp_path / "listed"
    write_people(tmp_path / "images")
    (root / "images").mkdir(parents=True)
    for i, path in enumerate(sorted((tmp_path / "images").rglob("*.png"))):
        if i != 1 and i != 2:  # of the first person one image is left
            path.rename(root / "images" / path.name)
    names = sorted(path.name for path in (root / "images").iterdir())
    (root / "legend.csv").write_text("\n".join(["image,emotion", *(f"{name},neutral" for name in names), ""]))
    prepared = prepare("identity", root, tmp_path / "data")
    assert sorted(prepared.classes) == NAMES[1:]


def test_a_list_of_pairs_names_who_is_held_out(tmp_path):
    lines = ["2\t2", "Person_A\t1\t2", "Person_B\t1\t3", "Person_A\t1\tPerson_B\t1", "Person_A\t2\tPerson_B\t2"]
    lines += ["Person_C\t1\t2", "Person_D\t1\t3", "Person_C\t1\tPerson_D\t1", "Person_C\t2\tPerson_D\t2"]
    pairs = tmp_path / "pairs.txt"
    pairs.write_text("\n".join(lines))
    source = write_people(tmp_path / "images")
    prepared = prepare("identity", source, tmp_path / "data", pairs=str(pairs))
    assert set(prepared.split("validation").subjects) == {"Person_A", "Person_B", "Person_C", "Person_D"}
    data = identity.TrainData(prepared, None, None)
    found = identity.find_pairs(data, prepared.split("validation"))
    assert found.same.tolist() == [True, True, False, False] * 2 and found.fold.tolist() == [0] * 4 + [1] * 4
    pairs.write_text("\n".join(lines[:-1]))
    with pytest.raises(UserError, match="7 pairs, not 2 x 2 x 2 as its first line says"):
        prepare("identity", source, tmp_path / "data", pairs=str(pairs), name="torn")


def test_too_few_people_are_one_line(tmp_path):
    source = write_people(tmp_path / "images", NAMES[:3])
    with pytest.raises(UserError, match="3 people with 2 images or more; four at least"):
        prepare("identity", source, tmp_path / "data")


def make_config(people, **changes):
    config = default()
    settings = {
        "task": "identity",
        "model.name": "expressnet_tiny",
        "model.head": "cosine",
        "model.dropout": 0.0,
        "data.name": "people",
        "data.dir": str(people[0]),
        "data.size": 32,
        "train.batch_size": 16,
        "train.epochs": 4.0,
        "eval.metric": "verification",
        "eval.every_epochs": 2.0,
        "eval.batch_size": 18,
        "checkpoint.every_epochs": 4.0,
    }
    config.losses = {"identity": classification_loss(loss="cosface", margin=0.1, scale=16.0)}
    config.update_from_flattened_dict(settings | changes)
    config.model.options.update(widths=(4,), depths=(1,), stem_width=4)
    return config


def test_a_run_learns_who_it_is_and_an_expression_run_begins_with_it(people, tmp_path, tiny_config, capsys):
    job = loop.train(make_config(people), tmp_path / "run", identity.build_experiment)
    checkpoint, files = job.finish(tmp_path / "run")
    figures = json.loads((tmp_path / "run/evaluation.json").read_text())
    assert figures["people"] == 14 and 0 <= figures["verification"] <= 1 and figures["pairs"] > 10
    assert [path.name for path in files] == ["evaluation.json", "curves.png"]
    assert f"verification {figures['verification']:.2%}" in capsys.readouterr().out

    config = tiny_config(**{"init_from": str(tmp_path / "run"), "train__epochs": 1.0, "model__name": "expressnet_tiny"})
    config.model.options.update(widths=(4,), depths=(1,), stem_width=4)
    config.optimizer.update(freeze_epochs=0.5, learning_rate=0.0)
    loop.train(config, tmp_path / "next", classification.build_experiment)
    after = load_checkpoint(tmp_path / "next")
    same = jax.tree.map(
        np.array_equal, after.variables["params"]["backbone"], checkpoint.variables["params"]["backbone"]
    )
    assert all(jax.tree.leaves(same))
    assert [(run["task"], run["data"]) for run in after.lineage] == [("identity", "people"), ("classification", "tiny")]
    assert after.lineage[0]["people"] == list(checkpoint.classes)


def test_expressions_have_no_people_to_verify_and_margins_need_their_head(people, tmp_path, tiny_config):
    config = make_config(people)
    config.data.update(name="tiny", dir=tiny_config().data.dir)
    with pytest.raises(UserError, match="tiny has no people to verify; prepare the images with"):
        loop.train(config, tmp_path, identity.build_experiment)
    with pytest.raises(
        UserError, match=r"losses.identity.loss: cosface with model.head linear; arcface and cosface go with"
    ):
        loop.train(make_config(people, **{"model.head": "linear"}), tmp_path, identity.build_experiment)


def test_many_classes_lie_on_all_devices_and_give_the_same_step(mesh_of, monkeypatch):
    monkeypatch.setattr(mesh, "SHARD_CLASSES", 64)
    model = image_classifier(ExpressNet(widths=(12,), depths=(1,), stem_width=4), 64, kind="cosine")
    schedule = make_schedule("constant", 0.1, 1)
    optimizer = make_optimizer("sgd", schedule)
    rng = np.random.default_rng(0)
    batch = {"image": rng.integers(0, 256, (8, 16, 16, 1), np.uint8), "expression": rng.integers(0, 64, 8)}
    results = {}
    for devices in (1, 4):
        where = mesh_of(devices)
        fields, config = class_fields(64), default()
        config.losses.expression.update(loss="arcface", scale=16.0)
        losses = build_losses(config, fields, {"expression": np.arange(64)}, 12, identity.spread_classes(where, 64))
        loss_program = supervised(model, losses, {"mixup": 0.0, "cutmix": 0.0}, fields)
        step = make_train_step(loss_program, optimizer, schedule)
        state = init_state(
            make_init_fn(model, (16, 16, 1)), optimizer, where, pretrained=drawn_weights(model, (1, 16, 16, 1))
        )
        spread = jax.NamedSharding(where, jax.P("data"))
        compiled = jax.jit(step).lower(state, jax.device_put(batch, spread)).compile()
        after, metrics = compiled(state, jax.device_put(batch, spread))
        results[devices] = jax.device_get((after.params, metrics["loss"]))
        centres = after.params["head"]["kernel"]
        assert centres.addressable_shards[0].data.shape == (12, 64 // devices)
    assert "all-gather" not in [
        line.split("=")[1].split("(")[0].split()[-1]
        for line in compiled.as_text().splitlines()
        if "12,64" in line and "=" in line
    ]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), results[1], results[4])


def test_the_cosine_head_is_the_cosine():
    model = image_classifier(ExpressNet(widths=(4,), depths=(1,), stem_width=4), 3, kind="cosine")
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 1)).astype(np.float32)
    variables = drawn_weights(model, images.shape)
    look = jax.jit(
        lambda variables: (model.apply(variables, images, method="features"), model.apply(variables, images))
    )
    features, outputs = look(variables)
    features = np.float64(features)
    centres = np.float64(variables["params"]["head"]["kernel"])
    expected = features @ centres / np.linalg.norm(features, axis=1)[:, None] / np.linalg.norm(centres, axis=0)
    np.testing.assert_allclose(outputs.heads["expression"], expected, atol=1e-5)
