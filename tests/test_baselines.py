"""Features and classifiers against what can be counted by hand, NumPy and SciPy; the command on tiny images."""

import json
import subprocess
import sys

import numpy as np
import pytest
from scipy.optimize import minimize

from expressnet_jax import cli
from expressnet_jax.baselines import run as baselines
from expressnet_jax.baselines.classifiers import LinearSvm, NearestNeighbours
from expressnet_jax.baselines.features import create_features, gabor_wave, gray
from expressnet_jax.data.audit import audit
from expressnet_jax.data.decode import decode_all
from expressnet_jax.data.prepare import prepare
from expressnet_jax.data.store import load
from runs import write_images

RNG = np.random.default_rng(0)
NOISE = RNG.integers(40, 200, (3, 48, 48), np.uint8)
ROWS, COLUMNS = np.indices((48, 48))


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """`tiny`: gray noise, brighter from class to class, and two test images stand in train, too."""
    folder = tmp_path_factory.mktemp("data")
    images = write_images(folder / "images", {"train": 6, "test": 3}, size=32)
    for name in ("anger", "happiness"):
        (images / "test" / name / "0.png").write_bytes((images / "train" / name / "0.png").read_bytes())
    prepare("folder", images, folder, name="tiny")
    return folder


@pytest.mark.parametrize(
    ("name", "options", "dimensions"),
    [
        ("hog", {}, 5 * 5 * 2 * 2 * 9),
        ("hog", {"cell": 16, "orientations": 6}, 2 * 2 * 2 * 2 * 6),
        ("lbp", {}, 6 * 6 * 59),
        ("lbp", {"grid": 7, "points": 4, "radius": 1}, 7 * 7 * 15),
        ("gabor", {}, 5 * 8 * 6 * 6),
        ("gabor", {"scales": 2, "orientations": 3, "grid": 5}, 2 * 3 * 5 * 5),
    ],
)
def test_features_have_the_length_that_their_options_give(name, options, dimensions):
    found = create_features(name, **options)(NOISE)
    assert found.shape == (3, dimensions) and found.dtype == np.float32 and np.isfinite(found).all()
    np.testing.assert_array_equal(create_features(name, **options)(NOISE[1:2]), found[1:2])


@pytest.mark.parametrize("name", ["hog", "lbp", "gabor"])
def test_more_light_changes_no_feature(name):
    describe = create_features(name)
    np.testing.assert_allclose(describe(NOISE + np.uint8(50)), describe(NOISE), atol=1e-5)


def test_hog_of_a_ramp_counts_one_direction_and_blocks_have_unit_length():
    describe = create_features("hog")
    upright = describe((3 * ROWS)[None].astype(np.uint8)).reshape(5, 5, 2, 2, 9)
    inner = upright[1:-1, 1:-1]
    peak = inner.sum((0, 1, 2, 3)).argmax()
    np.testing.assert_allclose(inner[..., peak], 0.5, rtol=1e-4)  # four equal cells, and nothing else in the block
    np.testing.assert_allclose(np.delete(inner, peak, -1), 0, atol=1e-6)
    across = describe((3 * COLUMNS)[None].astype(np.uint8)).reshape(5, 5, 2, 2, 9)[1:-1, 1:-1]
    assert across.sum((0, 1, 2, 3)).argmax() != peak
    np.testing.assert_allclose(np.linalg.norm(describe(NOISE).reshape(3, 25, 36), axis=-1), 1, rtol=1e-4)


def test_lbp_of_an_even_image_is_one_pattern_and_histograms_are_shares():
    describe = create_features("lbp", grid=4)
    even = describe(np.full((1, 48, 48), 90, np.uint8)).reshape(16, 59)
    assert ((even > 0).sum(1) == 1).all() and (even.max(1) == 1).all()
    assert len(set(even.argmax(1))) == 1
    np.testing.assert_allclose((describe(NOISE).reshape(3, 16, 59) ** 2).sum(-1), 1, rtol=1e-5)


def test_lbp_counts_the_patterns_of_ojala():
    """Rows of 50 and 200 in turn. A neighbour is 1 where it is no darker: right, up, left, down of a dark pixel 1111,
    of a bright one 1010. That has four changes, so it goes into the last bin, which all such patterns share."""
    stripes = np.where(ROWS % 2, 200, 50)[None].astype(np.uint8)
    share = create_features("lbp", points=4, radius=1, grid=3)(stripes).reshape(3, 3, 15)[1, 1] ** 2
    np.testing.assert_allclose(share[14], 0.5, rtol=1e-6)
    np.testing.assert_allclose(share[:14].max(), 0.5, rtol=1e-6)


def test_a_gabor_wave_answers_to_its_own_length_and_direction():
    describe = create_features("gabor", grid=1)
    strongest = lambda image: divmod(int(describe(image[None].round().astype(np.uint8)).argmax()), 8)
    wave = lambda coordinate, frequency: 128 + 100 * np.cos(2 * np.pi * frequency * coordinate)
    assert strongest(wave(COLUMNS, 0.125)) == (2, 0)
    assert strongest(wave(ROWS, 0.125)) == (2, 4)
    assert strongest(wave(COLUMNS, 0.0625)) == (4, 0)
    assert strongest(wave((COLUMNS + ROWS) / np.sqrt(2), 0.25)) == (0, 2)


def test_gabor_is_the_logarithm_of_a_convolution_averaged_over_cells():
    from scipy.signal import convolve

    image = NOISE[0].astype(np.float64)
    framed = np.pad((image - image.mean()) / (image.std() + 1), 60, mode="symmetric")
    answer = np.abs(convolve(framed, gabor_wave(0.25 / 2**0.5, np.pi / 4), mode="same")[60:-60, 60:-60])
    found = create_features("gabor", scales=2, orientations=4, grid=2)(NOISE[:1]).reshape(2, 4, 4)[1, 1]
    expected = np.log(answer.reshape(2, 24, 2, 24).mean((1, 3)).ravel() + 1e-3)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_neighbours_are_those_of_brute_force():
    x, y, new = RNG.normal(size=(40, 5)), RNG.integers(0, 3, 40), RNG.normal(size=(30, 5))
    near = np.argsort(((new[:, None] - x) ** 2).sum(-1), axis=1)
    first = NearestNeighbours(1).fit(x, y, 4)(new)
    np.testing.assert_array_equal(first, np.eye(4)[y[near[:, 0]]])
    found = NearestNeighbours(4).fit(x, y, 4)(new)
    share = np.stack([(y[near[:, :4]] == c).mean(1) for c in range(4)], 1)
    np.testing.assert_allclose(found, share, atol=0.01)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-6)
    tied = (share == 0.5).sum(1) == 2
    nearest_pair = (y[near[:, 0]] == y[near[:, 1]]) & tied
    assert nearest_pair.any()
    np.testing.assert_array_equal(found.argmax(1)[nearest_pair], y[near[:, 0]][nearest_pair])
    np.testing.assert_array_equal(found.argmax(1)[~tied], share.argmax(1)[~tied])


@pytest.mark.parametrize("cost", [0.01, 1.0])
def test_the_svm_is_liblinears(cost):
    y = RNG.integers(0, 3, 200)
    x = (RNG.normal(size=(200, 6)) + 0.7 * np.eye(6)[y]).astype(np.float32)
    z, sign = np.c_[(x - x.mean(0)) / x.std(0), np.ones(len(x))], np.where(y[:, None] == np.arange(3), 1.0, -1.0)

    def loss(flat):
        w = flat.reshape(-1, 3)
        return (w**2).sum() / 2 + cost * (np.maximum(0, 1 - sign * (z @ w)) ** 2).sum()

    distances = z @ minimize(loss, np.zeros(z.shape[1] * 3), options={"gtol": 1e-7}).x.reshape(-1, 3)
    expected = np.exp(distances) / np.exp(distances).sum(1, keepdims=True)
    np.testing.assert_allclose(LinearSvm(cost).fit(x, y, 3)(x), expected, atol=2e-3)


def test_two_classes_and_one_that_is_missing():
    x = np.r_[np.zeros((5, 2)), np.ones((5, 2))].astype(np.float32)
    found = LinearSvm(1.0).fit(x, np.repeat([0, 2], 5), 3)(x)
    assert found.argmax(1).tolist() == [0] * 5 + [2] * 5 and not found[:, 1].any()
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-6)


def test_the_cost_is_chosen_where_the_machine_did_not_learn():
    y = np.arange(200) % 2
    x = RNG.normal(size=(200, 300)).astype(np.float32)
    x[:, 0] += 3 * y
    cost, tried = baselines.choose_cost(x, y, 2, (1e-9, 1e-3, 10.0), seed=0)
    assert list(tried) == ["1e-09", "0.001", "10"] and tried[f"{cost:g}"] == max(tried.values())
    assert max(tried.values()) < 1  # a machine judged on what it learned would make no mistake with 300 features


@pytest.mark.parametrize("channels", [1, 3])
def test_a_baseline_is_a_predict_function(channels):
    images = RNG.integers(0, 256, (12, 32, 32, channels), np.uint8)
    describe = create_features("hog")
    classify = LinearSvm().fit(describe(gray(images)), np.arange(12) % 4, 5)
    found = baselines.make_predict(describe, classify)(images)
    assert found.shape == (12, 5) and found.dtype == np.float32
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)


def test_colour_is_seen_as_its_luma():
    bands = np.zeros((1, 1, 4, 3), np.uint8)
    bands[0, 0, 0, 0] = bands[0, 0, 1, 1] = bands[0, 0, 2, 2] = bands[0, 0, 3] = 255
    np.testing.assert_array_equal(gray(bands)[0, 0], [76, 150, 29, 255])


# The command.


@pytest.fixture
def call(capfd, data_dir):
    """(arguments) -> exit status, stdout, stderr of `expressnet baseline` on the tiny data set."""

    def run(*arguments):
        try:
            status = cli.main(["baseline", *map(str, arguments), "--data_dir", str(data_dir), "--size", "32"])
        except SystemExit as leave:
            status = leave.code
        out, err = capfd.readouterr()
        return status, out, err

    return run


def assert_refused(result, *expected):
    """Exit status 2 and one line on stderr that holds all of this."""
    status, out, err = result
    assert status == 2 and out == "" and err.startswith("error: ") and err.count("\n") == 1, err
    assert all(part in err for part in expected), err


def test_the_command_judges_every_pair_with_and_without_near_duplicates(call, data_dir, tmp_path):
    path = tmp_path / "rows.json"
    asked = ("tiny", "--split", "test", "--features", "hog,lbp", "--classifier", "svm,knn", "--k", "1,3")
    (load("tiny", data_dir).directory / "audit.json").unlink(missing_ok=True)
    status, out, err = call(*asked, "--json", path)
    assert (status, err) == (0, "") and "first run expressnet audit tiny" in out
    assert "deduplicated" not in json.loads(path.read_text())["rows"][0]

    audit(load("tiny", data_dir))
    status, out, err = call(*asked, "--option", "hog.cell=16", "--json", path)
    found = json.loads(path.read_text())
    assert (status, err) == (0, "") and out.count("macro mean") == 6 and f"wrote {path}" in out
    assert found["seed"] == 0 and found["machine"]["date"] and found["machine"]["packages"]["scikit-image"]
    assert [(r["features"], r["classifier"], r.get("k")) for r in found["rows"]] == [
        (name, *rest) for name in ("hog", "lbp") for rest in (("svm", None), ("knn", 1), ("knn", 3))
    ]
    assert found["rows"][0]["options"] == {"orientations": 9, "cell": 16}
    assert found["rows"][0]["dimensions"] == 36 and len(found["rows"][0]["held_out_accuracy"]) == 3
    assert all(row["deduplicated"]["count"] == 7 for row in found["rows"])


def test_every_image_of_train_is_its_own_nearest(data_dir):
    prepared = load("tiny", data_dir)
    (row,) = baselines.run(baselines.Settings(("hog",), ("knn",), ks=(1,), size=32), prepared, "test")
    train = prepared.split("train")
    found = row.predict(decode_all(train, 32, channels=1))
    np.testing.assert_array_equal(found, np.eye(len(train.classes), dtype=np.float32)[train.labels])


def test_refusals(call, data_dir):
    assert_refused(call("fer2013"), "fer2013 is not prepared", "run: expressnet prepare fer2013 --source PATH")
    tiny = lambda *rest: call("tiny", "--split", "test", *rest)
    assert_refused(call("tiny"), "tiny has no split 'validation'", "train, test")
    assert_refused(call("tiny", "--split", "train"), "another one to be judged on")
    assert_refused(tiny("--features", "sift"), "no features 'sift'; there are: hog, lbp, gabor")
    assert_refused(tiny("--classifier", "tree"), "no classifier 'tree'; there are: svm, knn")
    assert_refused(tiny("--classifier", "knn", "--k", "19"), "k=19: train holds 18 images; give k from 1 to that")
    assert_refused(tiny("--classifier", "knn", "--k", "0"), "k=0")
    assert_refused(tiny("--k", "one"), "'one': write numbers with commas between them")
    assert_refused(tiny("--cost", "0"), "cost is more than 0")
    assert_refused(tiny("--features", ","), "nothing to compare")
    assert_refused(tiny("--option", "cell=6"), "--option cell: write NAME.KEY=VALUE")
    assert_refused(tiny("--option", "hog.bins=6"), "hog has no 'bins'; it has orientations, cell")
    assert_refused(tiny("--option", "hog.cell=0"), "cell=0 is no whole number from 1 on")
    assert_refused(tiny("--option", "lbp.grid=6"), "options of lbp, which is not among the features hog")
    assert_refused(tiny("--option", "hog.cell=20"), "32x32 hold no 2x2 cells of 20 pixels")
    assert_refused(tiny("--features", "lbp", "--option", "lbp.grid=40"), "grid=40: an image of 32x32")


@pytest.mark.parametrize(("module", "package"), [("skimage", "scikit-image"), ("sklearn", "scikit-learn")])
def test_a_missing_library_is_named_with_the_command_that_installs_it(call, monkeypatch, module, package):
    monkeypatch.setitem(sys.modules, module, None)
    assert_refused(call("tiny", "--split", "test"), package, 'pip install "expressnet-jax[baselines]"')


def test_a_baseline_imports_no_jax(data_dir):
    asked = ["baseline", "tiny", "--split=test", "--cost=1e-4", "--size=32", f"--data_dir={data_dir}"]
    program = (
        f"import sys; from expressnet_jax import cli; status = cli.main({asked!r});"
        "print(status, sorted({'jax', 'jaxlib', 'flax', 'tensorflow', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"
