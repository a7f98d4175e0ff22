"""Do judgements help? Simulated raters, the verdict on them, and when it is due."""

import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import numpy as np
import pytest

from app.catalog.collections import NewCollection
from app.database.tables import VectorIndex
from app.errors import Interrupted
from app.feedback import rated_queries, ratings
from app.feedback.evaluation import (
    MIN_AGREEMENT,
    MIN_JUDGEMENTS,
    MIN_QUERIES,
    EvaluationResult,
    FeedbackEvaluation,
    _QueryOutcome,
    _result,
    last_night,
)
from app.feedback.query_adjustment import QueryAdjustment
from app.feedback.ratings import JudgedSearch, Judgement
from app.feedback.rocchio import RocchioWeights
from app.index.vector_indexes import Shape
from app.runtime.collection_assembly import rocchio_weights
from app.runtime.services import Services
from app.settings import Settings
from scripts.demo_model.relevant_pictures import truths
from scripts.evaluate_feedback import held
from scripts.simulate_feedback import Bench, Kind, Row, forget, judge, line, measure, open_bench
from tests.conftest import TEST_IMAGES
from tests.fixtures.folder_jobs import run, sql

NAMES = 6  # one of so many is asked about
ROUNDS = 700
SEED = 7
MOST_LOST = 0.01  # of nDCG@10, by the truth, whatever is said
LEAST_LIFT = 0.05  # of nDCG@10, where people are honest
CARS = ("sports car", "racing car", "formula one car", "sailboat", "a tree", "树")
NIGHT = datetime(2026, 3, 1, 3, tzinfo=UTC)


@pytest.fixture(scope="module")
def settings(settings: Settings) -> Settings:
    """The bundled pictures are open to jobs; the runtime is the same on every machine.

    What is rated is drawn at random from the queries that are answered imperfectly. With bf16 one
    more of them is (121, not 120), so that every draw is another: the lift on held-out ratings
    then lies between 0.028 and 0.051 for different seeds, in fp32 between 0.042 and 0.074.
    """
    same_everywhere = {"runtime": "torch", "precision": "fp32"}
    return settings.model_copy(update={"test_images_dir": TEST_IMAGES} | same_everywhere)


@pytest.fixture(scope="module")
def weights(settings: Settings) -> RocchioWeights:
    return rocchio_weights(settings)


@pytest.fixture(scope="module")
def bench(services: Services, worker: None) -> Bench:
    assert run(services, TEST_IMAGES).failed == 0
    names = truths(TEST_IMAGES)
    some = {name: names[name] for name in list(names)[::NAMES]}
    return open_bench(services, some, TEST_IMAGES)


@pytest.fixture(scope="module")
def asked(bench: Bench) -> list[int]:
    return bench.imperfect(0)


@pytest.fixture(autouse=True)
def nothing_judged(bench: Bench) -> None:
    forget(bench)


def trials(bench: Bench, weights: RocchioWeights) -> FeedbackEvaluation:
    return FeedbackEvaluation(bench.sessions, bench.index, weights, threading.Event())


def last_result(services: Services, index: VectorIndex) -> EvaluationResult | None:
    """The stored result; None if there is none, or only one of another version."""
    with services.sessions.begin() as session:
        return EvaluationResult.from_json(rated_queries.get_evaluation(session, index))


def simulated(bench: Bench, weights: RocchioWeights, asked: Sequence[int], kind: Kind) -> Row:
    judge(bench, kind, asked, ROUNDS, SEED)
    row = measure(bench, kind, weights, asked)
    assert kind in line(row)
    return row


def test_honest_raters_switch_it_on_and_lift_the_answers(
    bench: Bench, weights: RocchioWeights, asked: list[int]
) -> None:
    row = simulated(bench, weights, asked, "honest")
    assert row.verdict.state == "on"
    assert row.verdict.ndcg_without is not None
    assert row.verdict.ndcg_with is not None
    assert row.verdict.ndcg_with - row.verdict.ndcg_without >= LEAST_LIFT
    assert row.effective[1] - row.effective[0] >= LEAST_LIFT
    assert row.near[1] >= row.near[0] - MOST_LOST
    assert QueryAdjustment(bench.sessions, bench.index, weights).state() == "on"


@pytest.mark.parametrize("kind", ["random", "all hostile"])
def test_random_and_hostile_raters_switch_it_off(
    bench: Bench, weights: RocchioWeights, asked: list[int], kind: Kind
) -> None:
    row = simulated(bench, weights, asked, kind)
    assert row.verdict.state == "off"
    assert row.effective[1] == row.effective[0]


def test_a_fifth_of_hostile_raters_does_no_harm(
    bench: Bench, weights: RocchioWeights, asked: list[int]
) -> None:
    row = simulated(bench, weights, asked, "a fifth hostile")
    assert row.effective[1] >= row.effective[0] - MOST_LOST
    assert row.forced[1] >= row.forced[0] - MOST_LOST


def test_what_is_liked_for_sports_car_rises_for_racing_car_and_elsewhere_nothing_changes(
    services: Services, bench: Bench, weights: RocchioWeights
) -> None:
    encoded = services.encoder.encode_texts(list(CARS))
    sports, racing, *unrelated = encoded
    cars = Bench(
        bench.sessions, bench.index, CARS, np.arange(len(CARS)), encoded, bench.ids, bench.gallery,
        np.zeros((len(CARS), len(bench.ids)), np.bool_),
    )  # fmt: skip
    liked = int(cars.order(racing)[5])
    cars.relevant[0, liked] = True
    judge(cars, "honest", [0], 40, SEED)
    with bench.sessions.begin() as session:
        rated_queries.save_evaluation(session, bench.index, {"state": "on"})
    learning = QueryAdjustment(bench.sessions, bench.index, weights)
    assert float(sports @ racing) > weights.similarity
    moved = learning.adjust(racing)
    assert moved.pulls
    before, after = (cars.order(one).tolist().index(liked) for one in (racing, moved.vector))
    assert after < before
    for vector in unrelated[1:]:
        assert float(vector @ sports) < weights.similarity
        assert learning.adjust(vector).vector is vector


def test_too_little_is_not_enough(bench: Bench, weights: RocchioWeights, asked: list[int]) -> None:
    verdict = trials(bench, weights).run()
    assert (verdict.state, verdict.queries, verdict.judgements) == ("not_enough_data", 0, 0)
    judge(bench, "honest", asked[: MIN_QUERIES - 1], 200, SEED)
    verdict = trials(bench, weights).run()
    assert verdict.state == "not_enough_data"
    assert verdict.judgements >= MIN_JUDGEMENTS
    assert verdict.ndcg_with is None


def test_a_verdict_is_kept_and_read_again(
    services: Services, bench: Bench, weights: RocchioWeights, asked: list[int]
) -> None:
    judge(bench, "honest", asked[: MIN_QUERIES + 20], 150, SEED)
    assert last_result(services, bench.index) is None
    verdict = trials(bench, weights).run()
    assert verdict.standard_error is not None
    assert verdict.agreement is not None
    assert last_result(services, bench.index) == verdict
    assert EvaluationResult.from_json(verdict.to_json()) == verdict
    assert EvaluationResult.from_json({**verdict.to_json(), "state": 3, "more": 1}) is None
    (known,) = services.registry.every()
    again = held(services.registry, known)
    assert (again.state, again.ndcg_with) == (verdict.state, verdict.ndcg_with)
    sql(services, """UPDATE vector_indexes SET trial = '{"state": "on"}'""")
    assert last_result(services, bench.index) is None


def test_a_trial_stops_with_the_service(
    services: Services, bench: Bench, weights: RocchioWeights, asked: list[int]
) -> None:
    judge(bench, "honest", asked[:30], 60, SEED)
    stop = threading.Event()
    stop.set()
    with pytest.raises(Interrupted):
        FeedbackEvaluation(bench.sessions, bench.index, weights, stop).run()
    assert last_result(services, bench.index) is None


def due(bench: Bench, night: datetime) -> bool:
    """Whether the collection is tried at a look after that night."""
    with bench.sessions.begin() as session:
        return bool(rated_queries.collections_due_for_evaluation(session, night))


def test_a_trial_is_due_once_a_night_where_judgements_have_changed(
    services: Services, bench: Bench, weights: RocchioWeights, asked: list[int]
) -> None:
    long_ago, tomorrow = NIGHT - timedelta(days=999), datetime.now(UTC) + timedelta(days=1)
    assert not due(bench, tomorrow)  # nothing was judged
    judge(bench, "honest", asked[:3], 5, SEED)
    assert due(bench, long_ago)  # never tried
    trials(bench, weights).run()
    assert not due(bench, tomorrow)  # nothing new
    sql(services, "UPDATE feedback SET updated_at = now() + interval '1 second'")
    assert not due(bench, long_ago)  # the night is yet to come
    assert due(bench, tomorrow)
    sql(services, "UPDATE feedback SET updated_at = now() - interval '1 day'")
    assert not due(bench, tomorrow)
    sql(services, "DELETE FROM feedback WHERE id = (SELECT max(id) FROM feedback)")
    assert due(bench, tomorrow)  # one was taken back


def test_whole_answers_alone_are_never_tried(
    services: Services, bench: Bench, asked: list[int]
) -> None:
    judge(bench, "honest", asked[:3], 5, SEED)
    sql(services, "UPDATE feedback SET image_id = NULL, search = gen_random_uuid()")
    assert not due(bench, datetime.now(UTC) + timedelta(days=1))


def test_the_worker_holds_what_is_due(services: Services, bench: Bench, asked: list[int]) -> None:
    services.worker.upkeep.evaluate_feedback()
    assert last_result(services, bench.index) is None  # nothing was judged
    judge(bench, "honest", asked[:3], 5, SEED)
    services.worker.upkeep.evaluate_feedback()
    first = last_result(services, bench.index)
    assert first is not None
    assert first.judgements > 0
    services.worker.upkeep.evaluate_feedback()
    assert last_result(services, bench.index) == first  # once a night


def test_a_trial_that_fails_leaves_the_others_theirs(
    services: Services, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = (
        services.registry.create(NewCollection("default", name), None, Shape())
        for name in ("failing", "trying")
    )
    for opened in (first, second):
        with bench.sessions.begin() as session:
            asked = JudgedSearch(b"digest", "a tree", np.eye(1, opened.index.dimensions)[0])
            ratings.store_judgement(session, opened.index, asked, Judgement(uuid4(), 1, 5, None))
    never = f"ADD CONSTRAINT never CHECK (id <> {first.index.id} OR trial IS NULL)"
    sql(services, f"ALTER TABLE vector_indexes {never}")
    for _ in range(2):  # it is not tried again in the same night
        services.worker.upkeep.evaluate_feedback()
    sql(services, "ALTER TABLE vector_indexes DROP CONSTRAINT never")
    failures = [one for one in caplog.records if "failed" in one.getMessage()]
    assert len(failures) == 1
    assert last_result(services, second.index) is not None
    assert last_result(services, first.index) is None


@pytest.mark.parametrize(
    ("now", "night"),
    [
        (NIGHT, NIGHT),
        (NIGHT + timedelta(hours=20, minutes=59), NIGHT),
        (NIGHT - timedelta(seconds=1), NIGHT - timedelta(days=1)),
    ],
)
def test_the_last_night(now: datetime, night: datetime) -> None:
    assert last_night(now) == night


def outcomes(
    gain: float, spread: float, agreement: float | None, count: int
) -> list[_QueryOutcome]:
    return [
        _QueryOutcome(0.5, 0.5 + gain + (spread if n % 2 else -spread), agreement)
        for n in range(count)
    ]


@pytest.mark.parametrize(
    ("gain", "spread", "agreement", "count", "state"),
    [
        (0.05, 0.1, 0.6, 100, "on"),
        (0.05, 0.1, 0.6, MIN_QUERIES - 1, "not_enough_data"),
        (0.004, 0.0, 0.6, 100, "off"),
        (0.05, 0.3, 0.6, 100, "off"),
        (-0.05, 0.0, 0.6, 100, "off"),
        (0.05, 0.1, MIN_AGREEMENT - 0.01, 100, "off"),
        (0.05, 0.1, None, 100, "off"),
    ],
    ids=["proven", "few", "too small", "unsure", "worse", "against the model", "all the same"],
)
def test_the_verdict(
    gain: float, spread: float, agreement: float | None, count: int, state: str
) -> None:
    assert _result(outcomes(gain, spread, agreement, count), 1_000, NIGHT).state == state
