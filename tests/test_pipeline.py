"""Three readers, one stream: equal batches for equal steps, from any step on."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from expressnet_jax.data import pipeline
from expressnet_jax.data.pipeline import (
    READERS,
    EvalLoader,
    InMemoryImages,
    StreamedImages,
    choose_reader,
    make_eval_batches,
    make_train_loader,
)
from expressnet_jax.data.sampling import Balanced, Uniform
from expressnet_jax.errors import UserError
from expressnet_jax.training.step import gather_inputs

STEPS, BATCH = 10, 8


@pytest.fixture(scope="module")
def split(array_split):
    return array_split(21, size=12, channels=3)


@pytest.fixture(scope="module")
def feed_of(split, mesh_of):
    def make(reader="memory", sampler=None, **options):
        options = {
            "shape": (12, 12, 3),
            "num_steps": STEPS,
            "targets": {"expression": split.labels.astype(np.int32), "votes": split.votes},
            "mesh": mesh_of(4),
        } | options
        return make_train_loader(split, sampler or Uniform(len(split), BATCH, 1), reader=reader, **options)

    return make


def steps_of(feed, first=0):
    """Every step from `first` on as a batch with its images, in NumPy."""
    for dispatch in feed.start(first):
        for s in range(len(dispatch["expression"])):
            step = jax.tree.map(lambda x, s=s: x[s], dispatch)
            yield jax.tree.map(np.asarray, gather_inputs(feed.table, step))


def assert_equal(ours, theirs):
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            assert a[name].dtype == b[name].dtype
            np.testing.assert_array_equal(a[name], b[name])


@pytest.mark.parametrize("reader", READERS)
def test_a_batch_holds_the_examples_that_the_sampler_names(feed_of, split, reader):
    sampler = Balanced(split.labels, BATCH, seed=4, strength=0.5)
    batches = list(steps_of(feed_of(reader, sampler)))
    assert len(batches) == STEPS
    for step, batch in enumerate(batches):
        index = sampler.indices(step)
        assert {name: (value.dtype, value.shape) for name, value in batch.items()} == {
            "image": (np.uint8, (BATCH, 12, 12, 3)),
            "expression": (np.int32, (BATCH,)),
            "index": (np.int32, (BATCH,)),
            "votes": (np.float32, (BATCH, 7)),
        }
        np.testing.assert_array_equal(batch["image"], split.images[index])
        np.testing.assert_array_equal(batch["expression"], split.labels[index])
        np.testing.assert_array_equal(batch["votes"], split.votes[index])
        np.testing.assert_array_equal(batch["index"], index)


def test_all_readers_resize_alike(feed_of):
    streams = [list(steps_of(feed_of(reader, shape=(7, 7, 1)))) for reader in READERS]
    assert streams[0][0]["image"].shape == (BATCH, 7, 7, 1)
    assert_equal(streams[0], streams[1])
    assert_equal(streams[0], streams[2])


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("steps_per_call", [1, 4])
def test_a_later_start_gives_the_tail(feed_of, reader, steps_per_call):
    feed = feed_of(reader, steps_per_call=steps_per_call)
    whole = list(steps_of(feed_of("memory")))
    for first in (0, 3, 4, 9):
        assert_equal(list(steps_of(feed, first)), whole[first:])


def test_the_last_dispatch_is_as_short_as_it_must_be(feed_of):
    lengths = lambda first: [len(d["expression"]) for d in feed_of(steps_per_call=4).start(first)]
    assert lengths(0) == [4, 4, 2] and lengths(3) == [4, 3] and lengths(9) == [1]


@pytest.mark.parametrize("first", [STEPS, STEPS + 3])
def test_a_finished_run_has_no_batch_left(feed_of, first):
    assert list(feed_of(steps_per_call=4).start(first)) == []


@pytest.mark.parametrize("threads", [1, 5])
def test_threads_do_not_matter(feed_of, threads):
    assert_equal(list(steps_of(feed_of("stream", threads=threads))), list(steps_of(feed_of("stream", threads=2))))


def test_the_shares_of_two_processes_are_the_batch(feed_of):
    source = feed_of(steps_per_call=4).source
    shares = [replace(source, process_index=i, process_count=2) for i in range(2)]
    for dispatch in range(len(source)):
        together = jax.tree.map(lambda a, b: np.concatenate([a, b], 1), *(share[dispatch] for share in shares))
        assert_equal([together], [source[dispatch]])


def test_batches_lie_spread_over_the_data_axis(feed_of, mesh_of):
    for devices, model in [(4, 1), (4, 2), (1, 1)]:
        batch = next(feed_of(mesh=mesh_of(devices, model)).start(0))
        shards = {shard.data.shape for shard in batch["image"].addressable_shards}
        assert shards == {(1, BATCH * model // devices, 12, 12, 3)}


def test_a_feed_can_be_left_early_and_started_again(feed_of):
    feed = feed_of("stream")
    for _ in range(3):
        stream = feed.start(0)
        next(stream)
        stream.close()
    assert len(list(feed.start(0))) == STEPS


def test_an_error_while_reading_reaches_the_loop(feed_of, split, monkeypatch):
    monkeypatch.setattr(type(split), "encoded", lambda self, i: b"torn")
    with pytest.raises(UserError, match="can't be decoded"):
        list(feed_of("stream").start(0))


def test_without_targets_there_is_the_class_alone(feed_of):
    assert next(feed_of(targets=None).start(0)).keys() == {"image", "index", "expression"}


def test_fetch_takes_images_out_of_the_table():
    table = jnp.arange(24, dtype=jnp.uint8).reshape(6, 2, 2, 1)
    batch = gather_inputs(table, {"index": jnp.array([5, 0, 5])})
    np.testing.assert_array_equal(batch["image"], np.asarray(table)[[5, 0, 5]])
    assert gather_inputs(None, {"image": 1}) == {"image": 1}


@pytest.mark.parametrize("batch_size", [1, 4, 21, 32])
@pytest.mark.parametrize("streamed", [True, False])
def test_ordered_batches_bring_every_example_once_and_pad_the_rest(split, batch_size, streamed):
    images = StreamedImages(split, (12, 12, 3)) if streamed else InMemoryImages(split.images)
    ordered = EvalLoader(images, split.labels, batch_size)
    batches = list(ordered.batches(threads=2))
    assert len(batches) == len(ordered) == -(-21 // batch_size)
    assert {batch["inputs"].shape for batch in batches} == {(batch_size, 12, 12, 3)}
    mask = np.concatenate([batch["mask"] for batch in batches])
    image, label, index = (np.concatenate([b[name] for b in batches]) for name in ("inputs", "label", "index"))
    np.testing.assert_array_equal(index[mask], np.arange(21))
    np.testing.assert_array_equal(image[mask], split.images)
    np.testing.assert_array_equal(label[mask], split.labels)
    assert not image[~mask].any() and mask.sum() == 21
    assert (image.dtype, label.dtype, index.dtype, mask.dtype) == (np.uint8, np.int32, np.int32, bool)


def test_a_split_is_streamed_for_evaluation_where_memory_is_short(split, monkeypatch):
    in_memory = make_eval_batches(split, 8, shape=(12, 12, 3))
    monkeypatch.setattr(pipeline, "_free_memory", lambda: 100)
    streamed = make_eval_batches(split, 8, shape=(12, 12, 3))
    assert isinstance(in_memory.read_images, InMemoryImages) and isinstance(streamed.read_images, StreamedImages)
    assert_equal(list(in_memory.batches()), list(streamed.batches()))


class Accelerator:
    platform = "gpu"

    def memory_stats(self):
        return {"bytes_limit": 1000}


def test_the_reader_follows_the_memory(monkeypatch):
    monkeypatch.setattr(pipeline, "_free_memory", lambda: 1000)
    assert [choose_reader("auto", size) for size in (1, 500, 501)] == ["memory", "memory", "stream"]
    monkeypatch.setattr(jax, "local_devices", lambda: [Accelerator()])
    assert [choose_reader("auto", size) for size in (200, 201, 501)] == ["device", "memory", "stream"]
    assert [choose_reader(reader, 10**15) for reader in READERS] == list(READERS)
    with pytest.raises(UserError, match="no reader 'disk'; one of auto, stream, memory, device"):
        choose_reader("disk", 1)


def test_free_memory_is_a_plausible_number_of_bytes():
    assert 2**20 < pipeline._free_memory() < 2**50


def test_the_memory_of_a_container_is_no_more_than_it_has(monkeypatch):
    monkeypatch.setattr(pipeline, "granted_memory", lambda: 1000.0)
    assert pipeline._free_memory() == 1000
