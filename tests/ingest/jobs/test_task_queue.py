"""Tasks are written as they were given, each once, in the transaction of their caller."""

from sqlalchemy import text

from app.database.connections import Sessions
from app.ingest.jobs.task_queue import FINISH, SENT_PRIORITY, WEBHOOK, WEBHOOKS, enqueue

AWKWARD = '{"text": "a \\"red\\" car, {1,2} \\\\ (NULL) \'\'", "name": "Łódź 🌳"}'
WRITTEN = """
SELECT queue_name, task_name, priority, lock, args, status::text,
    extract(epoch FROM scheduled_at - now()) AS seconds
FROM procrastinate_jobs WHERE queue_name = :queue ORDER BY id
"""


def test_tasks_keep_their_order_and_their_texts(sessions: Sessions) -> None:
    told = [{"body": AWKWARD, "attempt": number, "url": None} for number in range(3)]
    with sessions() as session:
        enqueue(session, WEBHOOK, WEBHOOKS, *told, wait_seconds=60)
        found = session.execute(text(WRITTEN), {"queue": WEBHOOKS}).all()
    assert [tuple(one[:6]) for one in found] == [
        (WEBHOOKS, WEBHOOK, 0, None, one, "todo") for one in told
    ]
    assert all(59 < one.seconds < 70 for one in found)


def test_one_task_of_a_job_at_a_time_is_due_at_once(sessions: Sessions) -> None:
    with sessions() as session:
        enqueue(session, FINISH, "here", {"job_id": 7}, priority=SENT_PRIORITY)
        (found,) = session.execute(text(WRITTEN), {"queue": "here"}).all()
    assert tuple(found[:4]) == ("here", FINISH, SENT_PRIORITY, "finish 7")
    assert found.seconds is None
    with sessions() as session:
        assert session.execute(text(WRITTEN), {"queue": "here"}).all() == []
