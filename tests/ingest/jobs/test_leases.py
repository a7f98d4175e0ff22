"""Jobs and the batches that workers take, in SQL: dead workers, lost tasks, zombies."""

from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.catalog import collections
from app.database.connections import Sessions
from app.ingest.jobs import job_control, job_items, jobs, leases, task_queue
from app.ingest.jobs.job_items import NewItem
from app.ingest.jobs.jobs import NewJob
from app.ingest.jobs.leases import ItemResult
from app.ingest.jobs.task_queue import INGEST, LIST
from app.runtime.services import Services
from tests.fixtures.drawn_pictures import png
from tests.fixtures.http_jobs import staged, working

BATCH = 32
LEASE_SECONDS = 30.0
QUEUE = "a queue"


@pytest.fixture(autouse=True)
def _empty(sessions: Sessions) -> None:
    with sessions.begin() as session:
        session.execute(text("DELETE FROM procrastinate_jobs"))
        session.execute(text("DELETE FROM procrastinate_workers"))
        session.execute(text("DELETE FROM jobs"))


def new_job(session: Session, *, listed: bool = True) -> int:
    collection = collections.default(session).id
    return jobs.create(session, NewJob(collection, {"files": 1}, QUEUE, listed=listed))


def with_items(sessions: Sessions, number: int) -> tuple[int, list[int]]:
    """A job with files that wait, and their ids."""
    with sessions.begin() as session:
        job_id = new_job(session)
        new = [NewItem(f"{n:02}.png") for n in range(number)]
        job_items.attach(session, job_id, new, BATCH, task_queue.SENT_PRIORITY)
        return job_id, [item.id for item in job_items.items(session, job_id, number)]


def tasks(session: Session, name: str) -> list[dict[str, Any]]:
    """The arguments of the tasks that wait."""
    query = text(
        "SELECT args FROM procrastinate_jobs WHERE task_name = :name AND status = 'todo' "
        "ORDER BY id"
    )
    return list(session.execute(query, {"name": name}).scalars())


def fetched(session: Session) -> list[list[int]]:
    """The batches that wait, taken off the queue."""
    found = [task["item_ids"] for task in tasks(session, INGEST)]
    session.execute(text("DELETE FROM procrastinate_jobs"))
    return found


def test_a_job_and_its_task_are_written_together_or_not(sessions: Sessions) -> None:
    with sessions() as session:
        job_id = new_job(session, listed=False)
        assert tasks(session, LIST) == [{"job_id": job_id}]
        session.rollback()
    with sessions.begin() as session:
        assert tasks(session, LIST) == []
        assert jobs.newest(session, None, None, None, 10) == []
    with sessions.begin() as session:
        job_id = new_job(session, listed=False)
    with sessions.begin() as session:
        assert tasks(session, LIST) == [{"job_id": job_id}]
        assert [job.id for job in jobs.newest(session, None, None, None, 10)] == [job_id]


def test_a_batch_whose_worker_died_is_cut_down_to_single_files(sessions: Sessions) -> None:
    size = 2 * leases.SUSPECTS
    job_id, ids = with_items(sessions, size)
    halves = [ids[: leases.SUSPECTS], ids[leases.SUSPECTS :]]
    with sessions.begin() as session:
        assert fetched(session) == [ids]
        first = leases.acquire(session, job_id, ids, "one")
        assert [item.id for item in first.items] == ids
    with sessions.begin() as session:  # its worker died: the task runs again
        assert leases.acquire(session, job_id, ids, "two").items == []
        assert fetched(session) == halves
        second = leases.acquire(session, job_id, halves[0], "two")
        assert [item.id for item in second.items] == halves[0]
    with sessions.begin() as session:  # and died again
        assert leases.acquire(session, job_id, halves[0], "three").items == []
        assert fetched(session) == [[item_id] for item_id in halves[0]]
        (single,) = leases.acquire(session, job_id, halves[0][:1], "three").items
        assert (single.attempts, single.worker, single.state) == (0, "three", "running")
        query = text("SELECT attempts FROM job_items WHERE id = :id")
        assert session.execute(query, {"id": single.id}).scalar_one() == 1, "until it is survived"


def test_a_file_that_its_worker_survived_is_not_suspected(sessions: Sessions) -> None:
    job_id, ids = with_items(sessions, 1)
    for _ in range(2 * leases.MAX_ATTEMPTS):  # workers that die, but later than at decoding
        with sessions.begin() as session:
            (item,) = leases.acquire(session, job_id, ids, "dies").items
            leases.clear_attempt(session, [item])
    with sessions.begin() as session:
        (item,) = leases.acquire(session, job_id, ids, "lives").items
        leases.record(session, jobs.get(session, job_id), [leases.ItemResult(item, "added")])
        assert jobs.get(session, job_id).failed == 0


def test_the_file_to_blame_fails_alone(sessions: Sessions) -> None:
    job_id, ids = with_items(sessions, 3)
    for _ in range(leases.MAX_ATTEMPTS):
        with sessions.begin() as session:
            assert len(leases.acquire(session, job_id, ids[:1], "dies").items) == 1
    with sessions.begin() as session:
        session.execute(text("DELETE FROM procrastinate_jobs"))
        taken = leases.acquire(session, job_id, ids, "lives")
        rest = sorted(ids[1:])
        assert [item.id for item in taken.items] in ([], rest)
        assert taken.items or sorted(chain.from_iterable(fetched(session))) == rest
        failed, *others = job_items.items(session, job_id, 3)
        assert (failed.state, failed.outcome) == ("failed", "failed")
        assert "died" in (failed.reason or "")
        assert {item.state for item in others} <= {"pending", "running"}
        assert jobs.get(session, job_id).failed == 1


def test_what_a_worker_does_that_was_thought_dead_is_dropped(sessions: Sessions) -> None:
    job_id, ids = with_items(sessions, 1)
    with sessions.begin() as session:
        dead = leases.acquire(session, job_id, ids, "dead").items
        assert leases.still_held(session, dead) == set(ids)
    with sessions.begin() as session:
        alive = leases.acquire(session, job_id, ids, "alive").items
    with sessions.begin() as session:
        assert leases.still_held(session, dead) == set()
        leases.release(session, dead)  # nor can it give back what is another's
        assert leases.still_held(session, alive) == set(ids)
    with sessions.begin() as session:
        leases.record(session, jobs.get(session, job_id), [ItemResult(alive[0], "added")])
        assert leases.still_held(session, alive) == set()


def test_what_is_given_back_costs_no_attempt(sessions: Sessions) -> None:
    job_id, ids = with_items(sessions, 2)
    with sessions.begin() as session:
        taken = leases.acquire(session, job_id, ids, "stops").items
        leases.release(session, taken)
        found = job_items.items(session, job_id, 2)
        assert [(item.state, item.attempts) for item in found] == [("pending", 0)] * 2


def test_a_cancelled_job_is_not_worked_on(sessions: Sessions) -> None:
    job_id, ids = with_items(sessions, 2)
    with sessions.begin() as session:
        leases.acquire(session, job_id, ids, "dies")
        job_control.cancel(session, job_id)
        assert jobs.get(session, job_id).cancelled == 0  # they are under way
    with sessions.begin() as session:
        assert leases.acquire(session, job_id, ids, "lives").items == []
        job = jobs.get(session, job_id)
        assert (job.state, job.cancelled, job.done) == ("cancelling", 2, 2)


def test_a_job_that_ends_at_that_moment_needs_no_cancelling(sessions: Sessions) -> None:
    job_id, _ = with_items(sessions, 0)
    with sessions.begin() as session:
        assert jobs.get(session, job_id).finished_at is None  # as the caller may have seen it
        with sessions.begin() as elsewhere:
            jobs.close(elsewhere, jobs.get(elsewhere, job_id))
        job_control.cancel_if_open(session, job_id)
        assert jobs.get(session, job_id).state == "succeeded"


def test_tasks_of_dead_workers_are_put_back_once(sessions: Sessions) -> None:
    with sessions.begin() as session:
        workers = {
            name: session.execute(
                text(
                    "INSERT INTO procrastinate_workers (last_heartbeat) "
                    "VALUES (now() - make_interval(secs => :age)) RETURNING id"
                ),
                {"age": age},
            ).scalar_one()
            for name, age in (("dead", LEASE_SECONDS + 5), ("alive", LEASE_SECONDS - 5))
        }
        for worker in (workers["dead"], workers["alive"], None):
            job_id = new_job(session, listed=False)
            session.execute(
                text(
                    "UPDATE procrastinate_jobs SET status = 'doing', worker_id = :worker "
                    "WHERE (args->>'job_id')::bigint = :job"
                ),
                {"worker": worker, "job": job_id},
            )
    for _ in range(2):
        with sessions.begin() as session:
            job_control.rescue(session, LEASE_SECONDS)
            query = text("SELECT status::text, attempts FROM procrastinate_jobs ORDER BY args")
            found = [tuple(row) for row in session.execute(query)]
        assert found == [("todo", 1), ("doing", 0), ("todo", 1)]


def age(session: Session, job_id: int, seconds: float) -> None:
    query = text("UPDATE jobs SET updated_at = now() - make_interval(secs => :s) WHERE id = :job")
    session.execute(query, {"s": seconds, "job": job_id})


def test_only_old_jobs_without_tasks_are_adrift(sessions: Sessions) -> None:
    with sessions.begin() as session:
        young, lost, waiting, under_way, over = (new_job(session, listed=False) for _ in range(5))
        for job_id in (lost, waiting, under_way, over):
            age(session, job_id, 100)
        query = text("DELETE FROM procrastinate_jobs WHERE (args->>'job_id')::bigint = ANY(:ids)")
        session.execute(query, {"ids": [young, lost, over]})
        doing = text(
            "UPDATE procrastinate_jobs SET status = 'doing' WHERE (args->>'job_id')::bigint = :job"
        )
        session.execute(doing, {"job": under_way})
        jobs.close(session, jobs.get(session, over))
    with sessions.begin() as session:
        assert [job.id for job in job_control.without_tasks(session, 60)] == [lost]


@pytest.mark.parametrize("listed", [False, True])
def test_a_job_that_lost_its_tasks_goes_on(
    services: Services, sessions: Sessions, tmp_path: Path, listed: bool
) -> None:
    job_submission = services.job_submission
    if listed:
        job_submission.incoming.put("00aa", png(1))
    else:
        (tmp_path / "a.png").write_bytes(png(2))
    with sessions.begin() as session:
        source = {"files": 1} if listed else {"folder": str(tmp_path)}
        new = NewJob(job_submission.collection_id, source, job_submission.queue, listed=listed)
        job_id = jobs.create(session, new)
        if listed:
            sent = [NewItem("a.png", staged="00aa")]
            job_items.attach(session, job_id, sent, BATCH, task_queue.SENT_PRIORITY)
        session.execute(text("DELETE FROM procrastinate_jobs"))
    services.worker.upkeep.maintain_queue()
    with sessions.begin() as session:
        assert tasks(session, INGEST) + tasks(session, LIST) == []  # it is too young
        age(session, job_id, 100)
    services.worker.upkeep.maintain_queue()
    with working(services):
        job = job_submission.follow(job_id)
    assert (job.state, job.added) == ("succeeded", 1)
    assert staged(services) == []


def test_what_was_told_of_ended_jobs_is_forgotten_in_time(sessions: Sessions) -> None:
    with sessions.begin() as session:
        kept, old = new_job(session), new_job(session)
        for job_id in (kept, old):
            jobs.close(session, jobs.get(session, job_id))
        query = text("UPDATE jobs SET finished_at = now() - interval '31 days' WHERE id = :job")
        session.execute(query, {"job": old})
        open_job = new_job(session)
        job_control.purge(session)
        assert [job.id for job in jobs.newest(session, None, None, None, 10)] == [open_job, kept]


def test_of_two_that_list_the_same_stretch_one_is_told_to_stop(sessions: Sessions) -> None:
    """A lister that was believed dead, and the one that has taken its place."""
    with sessions.begin() as session:
        job = jobs.start(session, new_job(session, listed=False))
    stretch = job_items.ListedFile(None, [NewItem("a.png")], 1, "a.png")
    with sessions.begin() as session:
        assert job_items.add_listed(session, job, stretch, BATCH)
    with sessions() as session:
        assert not job_items.add_listed(session, job, stretch, BATCH)
        session.rollback()
    with sessions.begin() as session:
        last = job_items.ListedFile("a.png", whole=True)
        assert job_items.add_listed(session, job, last, BATCH)
    with sessions() as session:
        assert not job_items.add_listed(session, job, last, BATCH)
        session.rollback()
        assert jobs.get(session, job.id).total == 2


def test_what_was_given_back_is_not_suspected(sessions: Sessions) -> None:
    job_id, ids = with_items(sessions, BATCH)
    for _ in range(3):  # workers that are stopped, and a source that hiccups
        with sessions.begin() as session:
            taken = leases.acquire(session, job_id, ids, "stops").items
            assert len(taken) == BATCH
            leases.release(session, taken)
    with sessions.begin() as session:
        taken = leases.acquire(session, job_id, ids, "hiccups").items
        job = jobs.get(session, job_id)
        leases.record(session, job, [leases.ItemResult(item, None, "away") for item in taken])
    with sessions.begin() as session:
        assert len(leases.acquire(session, job_id, ids, "lives").items) == BATCH
