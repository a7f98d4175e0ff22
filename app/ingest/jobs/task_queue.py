"""The queue of the tasks that do the work of jobs.

They are procrastinate's, written in the same transaction as the rows they concern: there is no job
without a task, and no task without a job.

Every function takes a Session and leaves the transaction to its caller.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Integer, Text, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from app.command_names import typed
from app.database.kept_statements import execute_kept

LIST, INGEST, FINISH = "list", "ingest", "finish"  # the tasks, in the order a job runs them
WEBHOOK = "webhook"  # the task that reports its end, if it is to be reported
WEBHOOKS = "webhooks"  # its queue: slow receivers hold up no job
LONG = "+"  # ends the name of a queue of tasks that take hours, and hold up no others; names are
# channels of Postgres: procrastinate's prefix and ours leave three bytes
BULK_PRIORITY, SENT_PRIORITY = 0, 10  # uploads go before bulk loads

NO_WORKER = (
    f"No worker runs: start one by `{typed('worker')}`, or the server with "
    "IMAGE_SEARCH_WORKER=embedded."
)

HAS_WORKER = (
    "EXISTS (SELECT 1 FROM procrastinate_workers WHERE last_heartbeat > now() - interval '1 min')"
)
"""Workers write a heartbeat every 15 s at least."""


def has_worker(session: Session) -> bool:
    """Whether a worker of any machine is alive."""
    return bool(session.execute(text(f"SELECT {HAS_WORKER}")).scalar_one())


_DEFER = text(
    """
    SELECT procrastinate_defer_jobs_v1(array(
        SELECT ROW(
            :queue, :task, :priority, :lock, NULL, arguments,
            clock_timestamp() + make_interval(secs => :wait_seconds)
        )::procrastinate_job_to_defer_v1
        FROM jsonb_array_elements(:tasks) WITH ORDINALITY AS found(arguments, place) ORDER BY place
    ))
    """
).bindparams(
    bindparam("queue", type_=Text),
    bindparam("task", type_=Text),
    bindparam("priority", type_=Integer),
    bindparam("lock", type_=Text),
    bindparam("wait_seconds", type_=Integer),
    bindparam("tasks", type_=JSONB),
)
"""procrastinate's own function, with the arguments of all tasks as one value.

Its client has psycopg write an array of composites, which escapes each quotation mark of a message
twice, by regular expressions: that takes longer than all else here.
"""


def enqueue(
    session: Session,
    task: str,
    queue: str,
    *arguments: Mapping[str, Any],
    priority: int = BULK_PRIORITY,
    wait_seconds: int = 0,
) -> None:
    """Write a task for each of `arguments`, in the caller's transaction."""
    # One task of each kind at a time. LIST and FINISH have separate locks: a FINISH written by LIST
    # would be skipped when it is announced, and wait for the next poll.
    lock = None if task in {INGEST, WEBHOOK} else f"{task} {arguments[0]['job_id']}"
    values = {
        "queue": queue,
        "task": task,
        "priority": priority,
        "lock": lock,
        "wait_seconds": wait_seconds or None,
        "tasks": [dict(one) for one in arguments],
    }
    execute_kept(session, _DEFER, values)
