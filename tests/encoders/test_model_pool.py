"""Models in memory: texts remembered, models unloaded, and only so many loaded at a time."""

import gc
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.encoders import resident_model
from app.encoders.batching import Batcher, Encode, Priority
from app.encoders.encoder import OpenClipEncoder
from app.encoders.model_pool import ModelName, ModelPool
from app.encoders.resident_model import ResidentModel, normalised
from app.encoders.torch_models import openclip
from app.errors import ModelUnavailable
from app.vectors import Vectors
from tests.fixtures.drawn_pictures import noise
from tests.fixtures.tiny_models import tiny_model

DIMENSIONS = {"one": 32, "two": 48, "three": 64}
THREADS, ROUNDS = 5, 4
SECONDS = 300  # after which a thread counts as stuck: a hang is a failure, slowness is not
TOLERANCE = 1e-5  # of a coordinate: a batch rounds otherwise than a lone item

E_ACUTE = "\N{LATIN SMALL LETTER E WITH ACUTE}"
E_AND_ACUTE = "e\N{COMBINING ACUTE ACCENT}"


class Lane(Batcher):
    """The batcher, which tells what it was handed."""

    def __init__(self) -> None:
        super().__init__(max_items=8)
        self.handed: list[list[list[int]]] = []  # tokens of each text of each batch

    def submit(self, encode: Encode, items: Sequence[Any], priority: Priority) -> Future[Vectors]:
        self.handed.append([row.tolist() for row in items])
        return super().submit(encode, items, priority)

    @contextmanager
    def occupied(self) -> Iterator[None]:
        """The lane has work that ends with the block: what is submitted meanwhile waits."""
        started, go = threading.Event(), threading.Event()

        def occupy(items: list[Any]) -> Vectors:
            started.set()
            assert go.wait(SECONDS)
            return np.zeros((len(items), 1), np.float32)

        super().submit(occupy, [0], Priority.SEARCH)
        assert started.wait(SECONDS)
        try:
            yield
        finally:
            go.set()


class Loader:
    """Loads models, and tells which; where `gate` is set, it waits for it in the middle of it."""

    def __init__(self) -> None:
        self.loads: list[str] = []
        self.began = threading.Event()
        self.gate: threading.Event | None = None
        self.encoders: list[weakref.ref[OpenClipEncoder]] = []

    def __call__(self, name: ModelName) -> OpenClipEncoder:
        self.loads.append(name.model)
        self.began.set()
        if self.gate is not None:
            assert self.gate.wait(SECONDS)
        encoder = openclip.load(name.model, name.pretrained, "cpu")
        self.encoders.append(weakref.ref(encoder))
        return encoder

    def alive(self) -> list[str]:
        """The models whose encoders are in memory, those used by nobody collected."""
        gc.collect()
        found = (encoder() for encoder in self.encoders)
        return [encoder.space.model for encoder in found if encoder is not None]


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> list[ModelName]:
    """Three models that differ in the length of their vectors."""
    folder = tmp_path_factory.mktemp("models")
    return [
        ModelName(tiny_model(folder / name, seed, dimensions), "")
        for seed, (name, dimensions) in enumerate(DIMENSIONS.items())
    ]


@pytest.fixture(scope="module")
def alone(names: list[ModelName]) -> dict[ModelName, OpenClipEncoder]:
    """Each model, loaded by nothing of what is tested here."""
    return {name: openclip.load(name.model, "", "cpu") for name in names}


@pytest.fixture
def lane() -> Iterator[Lane]:
    made = Lane()
    yield made
    made.close()


@pytest.fixture
def loader() -> Loader:
    return Loader()


@pytest.fixture
def model(names: list[ModelName], lane: Lane, loader: Loader) -> ResidentModel:
    return ResidentModel(lambda: loader(names[0]), lane)


@pytest.fixture
def encoder(names: list[ModelName], alone: dict[ModelName, OpenClipEncoder]) -> OpenClipEncoder:
    """What `model` loads."""
    return alone[names[0]]


def tokens_of(encoder: OpenClipEncoder, *batches: list[str]) -> list[list[list[int]]]:
    """What the lane is handed for these batches of texts."""
    return [[row.tolist() for row in encoder.tokenise(texts)] for texts in batches]


def in_a_thread(work: Callable[[], object]) -> Future[object]:
    """Begin `work`; a thread that is stuck does not keep the tests from ending."""
    result: Future[object] = Future()

    def run() -> None:
        try:
            result.set_result(work())
        except BaseException as error:  # noqa: BLE001  # whoever waits gets it
            result.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return result


def assert_same(rows: Vectors, expected: Vectors) -> None:
    assert rows.shape == expected.shape
    assert rows.dtype == np.float32
    assert rows == pytest.approx(expected, abs=TOLERANCE)


def test_a_tiny_model_is_made_by_its_seed_and_tells_inputs_apart(
    tmp_path: Path, encoder: OpenClipEncoder
) -> None:
    again = openclip.load(tiny_model(tmp_path / "again", seed=0), "", "cpu")
    other = openclip.load(tiny_model(tmp_path / "other", seed=1), "", "cpu")
    assert again.space.fingerprint == encoder.space.fingerprint != other.space.fingerprint
    assert again.space.dimensions == other.space.dimensions == 32
    texts = again.encode_texts(["a tree", "two dogs"])
    pictures = again.encode_pixels([again.prepare(noise(seed)) for seed in range(2)])
    assert max(texts[0] @ texts[1], pictures[0] @ pictures[1]) < 0.95
    assert all(path.stat().st_size < 4_000_000 for path in (tmp_path / "again").iterdir())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a tree", "a tree"),
        ("  a \t\n tree ", "a tree"),
        ("a\N{IDEOGRAPHIC SPACE}\N{NO-BREAK SPACE}tree", "a tree"),
        (f"caf{E_AND_ACUTE}", f"caf{E_ACUTE}"),
        ("A Tree", "A Tree"),
        (" ", ""),
    ],
)
def test_texts_that_read_alike_are_one_text_but_for_case(text: str, expected: str) -> None:
    assert normalised(text) == expected
    assert normalised(expected) == expected


def test_a_text_is_encoded_once(model: ResidentModel, lane: Lane, encoder: OpenClipEncoder) -> None:
    first = model.encode_texts(["a tree", "two dogs", " a  tree", "A tree"])
    again = model.encode_texts(["two dogs", "a tree ", "a car"])
    assert lane.handed == tokens_of(encoder, ["a tree", "two dogs", "A tree"], ["a car"])
    assert_same(first, encoder.encode_texts(["a tree", "two dogs", "a tree", "A tree"]))
    assert_same(again, encoder.encode_texts(["two dogs", "a tree", "a car"]))


def test_what_is_encoded_is_the_normalised_text(
    model: ResidentModel, lane: Lane, encoder: OpenClipEncoder
) -> None:
    model.encode_texts([f" a \n caf{E_AND_ACUTE} "])
    assert lane.handed == tokens_of(encoder, [f"a caf{E_ACUTE}"])


def test_no_texts_are_refused(model: ResidentModel) -> None:
    with pytest.raises(ValueError, match="at least one"):
        model.encode_texts([])


def test_a_caller_cannot_alter_what_is_remembered(
    model: ResidentModel, encoder: OpenClipEncoder
) -> None:
    for _ in range(2):  # encoded, then remembered
        model.encode_texts(["a tree"])[:] = 0
    assert_same(model.encode_texts(["a tree"]), encoder.encode_texts(["a tree"]))


def test_the_texts_used_last_are_remembered(
    model: ResidentModel,
    lane: Lane,
    encoder: OpenClipEncoder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resident_model, "TEXT_CACHE_ITEMS", 2)
    for text in ("a", "b", "a", "c", "a", "b"):
        model.encode_texts([text])
    assert lane.handed == tokens_of(encoder, ["a"], ["b"], ["c"], ["b"])
    many = ["d", "e", "f", "d"]  # more than are remembered
    assert_same(model.encode_texts(many), encoder.encode_texts(many))


def test_a_remembered_text_waits_for_no_other(
    model: ResidentModel, lane: Lane, encoder: OpenClipEncoder
) -> None:
    model.encode_texts(["a tree"])
    (two_dogs,) = tokens_of(encoder, ["two dogs"])
    with lane.occupied():
        new = in_a_thread(lambda: model.encode_texts(["two dogs"]))
        while two_dogs not in lane.handed:
            assert not new.done()
        remembered = in_a_thread(lambda: model.encode_texts(["a tree"]))
        remembered.result(SECONDS)
        assert not new.done()
    new.result(SECONDS)


def test_an_unloaded_model_is_freed_and_loads_again(
    model: ResidentModel, loader: Loader, encoder: OpenClipEncoder
) -> None:
    assert not model.is_loaded
    pixels = model.prepare(noise(0))
    assert model.is_loaded
    model.unload()
    assert not model.is_loaded
    assert loader.alive() == []
    assert_same(
        model.submit([pixels], Priority.INDEXING).result(SECONDS), encoder.encode_pixels([pixels])
    )
    assert model.is_loaded
    assert len(loader.loads) == 2


def test_texts_and_space_are_known_without_the_model(
    model: ResidentModel, loader: Loader, encoder: OpenClipEncoder
) -> None:
    assert model.space == encoder.space
    model.encode_texts(["a tree"])
    model.unload()
    assert model.space == encoder.space
    assert_same(model.encode_texts(["a tree"]), encoder.encode_texts(["a tree"]))
    assert not model.is_loaded
    assert len(loader.loads) == 1


def test_what_is_under_way_outlives_an_unload(
    model: ResidentModel, lane: Lane, loader: Loader, encoder: OpenClipEncoder
) -> None:
    pixels = [model.prepare(noise(seed)) for seed in range(2)]
    with lane.occupied():
        waiting = model.submit(pixels, Priority.INDEXING)
        model.unload()
    assert_same(waiting.result(SECONDS), encoder.encode_pixels(pixels))
    assert len(loader.loads) == 1
    assert not model.is_loaded


def test_weights_that_changed_meanwhile_are_refused(tmp_path: Path, lane: Lane) -> None:
    name = tiny_model(tmp_path, seed=1)
    model = ResidentModel(lambda: openclip.load(name, "", "cpu"), lane)
    model.encode_texts(["a tree"])
    model.unload()
    tiny_model(tmp_path, seed=2)
    with pytest.raises(ModelUnavailable, match="have changed"):
        model.encode_images([noise(0)])
    assert not model.is_loaded


def test_a_failure_to_load_is_forgotten_after_a_while(
    tmp_path: Path, lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ResidentModel(lambda: openclip.load(f"local-dir:{tmp_path}", "", "cpu"), lane)
    with pytest.raises(ModelUnavailable, match="is missing"):
        model.load()
    tiny_model(tmp_path, seed=1)
    with pytest.raises(ModelUnavailable, match="is missing"):
        model.load()
    monkeypatch.setattr(resident_model, "FAILURE_SECONDS", 0.0)
    assert model.load().space.dimensions == 32


def test_a_failure_of_any_kind_is_told_as_the_models_afterwards(lane: Lane) -> None:
    def fail() -> OpenClipEncoder:
        raise MemoryError

    model = ResidentModel(fail, lane)
    with pytest.raises(MemoryError):
        model.load()
    with pytest.raises(ModelUnavailable, match="MemoryError"):
        model.load()


def test_each_name_has_one_resident_which_is_not_loaded_by_asking(
    names: list[ModelName], lane: Lane, loader: Loader
) -> None:
    model_pool = ModelPool(loader, lane, max_loaded=2)
    one, same, two = (model_pool.of(name) for name in (names[0], names[0], names[1]))
    assert one is same is not two
    assert not one.is_loaded
    assert loader.loads == []


def test_a_name_without_precision_has_the_preferred_one_or_the_pools(
    names: list[ModelName], lane: Lane, loader: Loader
) -> None:
    model_pool = ModelPool(loader, lane, max_loaded=2)
    assert model_pool.of(names[0]) is model_pool.of(replace(names[0], precision="float"))
    quantised = replace(names[0], precision="int8")
    model_pool.prefer(quantised)
    assert model_pool.of(names[0]) is model_pool.of(quantised)
    assert model_pool.resolved(names[1]).precision == "float"  # of other weights
    assert model_pool.resolved(replace(names[0], precision="float")).precision == "float"


def test_room_for_no_model_is_refused(lane: Lane, loader: Loader) -> None:
    with pytest.raises(ValueError, match="at least one"):
        ModelPool(loader, lane, max_loaded=0)


@pytest.mark.parametrize(
    "use",
    [
        lambda model, _: model.load(),
        lambda model, _: model.prepare(noise(1)),
        lambda model, pixels: model.submit([pixels], Priority.INDEXING).result(SECONDS),
        lambda model, _: model.encode_images([noise(1)]),
        lambda model, _: model.encode_texts(["new"]),
        lambda model, _: model.encode_texts(["remembered"]),
    ],
    ids=["load", "prepare", "submit", "encode_images", "encode_texts", "a remembered text"],
)
def test_the_model_used_least_recently_makes_room(
    use: Callable[[ResidentModel, Any], object], names: list[ModelName], lane: Lane, loader: Loader
) -> None:
    model_pool = ModelPool(loader, lane, max_loaded=2)
    one, two, three = (model_pool.of(name) for name in names)
    one.encode_texts(["remembered"])
    pixels = one.prepare(noise(0))
    two.load()
    use(one, pixels)
    three.load()
    assert [model.is_loaded for model in (one, two, three)] == [True, False, True]
    assert loader.loads == [name.model for name in names]


def test_room_is_made_before_a_model_is_loaded(
    names: list[ModelName], lane: Lane, loader: Loader
) -> None:
    alive_at_load: list[list[str]] = []

    def load(name: ModelName) -> OpenClipEncoder:
        alive_at_load.append(loader.alive())
        return loader(name)

    model_pool = ModelPool(load, lane, max_loaded=2)
    for name in names:
        model_pool.of(name).prepare(noise(0))
    first, second, third = (name.model for name in names)
    assert alive_at_load == [[], [first], [second]]
    assert loader.alive() == [second, third]


def test_an_unloaded_model_that_was_used_is_freed(
    names: list[ModelName], lane: Lane, loader: Loader
) -> None:
    model_pool = ModelPool(loader, lane, max_loaded=1)
    for name in names:
        model_pool.of(name).encode_texts(["a tree"])
        model_pool.of(name).encode_images([noise(0)])
    assert loader.alive() == [names[-1].model]


def test_a_model_that_cannot_be_loaded_leaves_its_room_to_others(
    tmp_path: Path, names: list[ModelName], lane: Lane, loader: Loader
) -> None:
    model_pool = ModelPool(loader, lane, max_loaded=1)
    absent = model_pool.of(ModelName(f"local-dir:{tmp_path}", ""))
    for name in names[:2]:
        with pytest.raises(ModelUnavailable):
            absent.load()
        in_a_thread(model_pool.of(name).load).result(SECONDS)
    assert loader.alive() == [names[1].model]


def test_a_long_load_holds_up_no_model_in_memory(
    names: list[ModelName], lane: Lane, loader: Loader
) -> None:
    model_pool = ModelPool(loader, lane, max_loaded=2)
    one, two = (model_pool.of(name) for name in names[:2])
    one.load()
    loader.began.clear()
    loader.gate = threading.Event()
    loading = in_a_thread(two.load)
    assert loader.began.wait(SECONDS)
    in_a_thread(lambda: one.encode_texts(["a tree"])).result(SECONDS)
    assert not loading.done()
    loader.gate.set()
    loading.result(SECONDS)
    assert (one.is_loaded, two.is_loaded) == (True, True)


def test_a_load_waits_while_all_room_is_taken_by_loads(
    names: list[ModelName], lane: Lane, loader: Loader
) -> None:
    model_pool = ModelPool(loader, lane, max_loaded=1)
    one, two = (model_pool.of(name) for name in names[:2])
    loader.gate = threading.Event()
    first = in_a_thread(one.load)
    assert loader.began.wait(SECONDS)
    second = in_a_thread(two.load)
    with pytest.raises(TimeoutError):
        second.result(0.1)
    assert loader.loads == [names[0].model]
    loader.gate.set()
    first.result(SECONDS)
    second.result(SECONDS)
    assert (one.is_loaded, two.is_loaded) == (False, True)


@pytest.mark.parametrize("max_loaded", [2, 1])
def test_threads_that_use_more_models_than_fit_get_right_answers(
    max_loaded: int,
    names: list[ModelName],
    alone: dict[ModelName, OpenClipEncoder],
    lane: Lane,
    loader: Loader,
) -> None:
    model_pool = ModelPool(loader, lane, max_loaded)

    def work(thread: int) -> None:
        for turn in range(ROUNDS):
            name = names[(thread + turn * (1 + thread % 2)) % len(names)]
            model, expected = model_pool.of(name), alone[name]
            texts = [f"picture {thread} {turn}", "a tree"]
            images = [noise(thread), noise(turn)]
            pixels = [model.prepare(image) for image in images]
            waiting = model.submit(pixels, Priority.INDEXING)
            assert_same(model.encode_texts(texts), expected.encode_texts(texts))
            assert_same(model.encode_images(images), expected.encode_pixels(pixels))
            assert_same(waiting.result(SECONDS), expected.encode_pixels(pixels))
            assert model.space == expected.space

    running = [in_a_thread(partial(work, thread)) for thread in range(THREADS)]
    for done in running:
        done.result(SECONDS)
    loaded = [name.model for name in names if model_pool.of(name).is_loaded]
    assert len(loaded) == max_loaded
    assert sorted(loader.alive()) == sorted(loaded)
    assert len(loader.loads) > len(names)


def test_threads_that_ask_for_one_model_load_it_once(
    names: list[ModelName], lane: Lane, loader: Loader
) -> None:
    model_pool = ModelPool(loader, lane, max_loaded=1)
    with ThreadPoolExecutor(THREADS) as threads:
        found = list(threads.map(lambda _: model_pool.of(names[0]).load(), range(THREADS)))
    assert len(loader.loads) == 1
    assert all(encoder is found[0] for encoder in found)
