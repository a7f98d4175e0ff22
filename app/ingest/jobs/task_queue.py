"""The queue of the tasks that do the work of jobs.

They are procrastinate's, written in the same transaction as the rows they concern: there is no job
without a task, and no task without a job.

Every function takes a Session and leaves the transaction to its caller.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

import procrastinate
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.command_names import typed

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


@cache
def _tasks() -> procrastinate.App:
    """Only for writing tasks: it opens no connection of its own."""
    return procrastinate.App(connector=procrastinate.PsycopgConnector())


def enqueue(
    session: Session,
    task: str,
    queue: str,
    *arguments: Mapping[str, Any],
    priority: int = BULK_PRIORITY,
    wait_seconds: int = 0,
) -> None:
    """Write a task for each of `arguments`, in the caller's transaction."""
    driver = session.connection().connection.driver_connection
    # One task of each kind at a time. LIST and FINISH have separate locks: a FINISH written by LIST
    # would be skipped when it is announced, and wait for the next poll.
    lock = None if task in {INGEST, WEBHOOK} else f"{task} {arguments[0]['job_id']}"
    deferrer = _tasks().configure_task(
        task,
        queue=queue,
        priority=priority,
        lock=lock,
        schedule_in={"seconds": wait_seconds} if wait_seconds else None,
        connection=driver,
    )
    deferrer.batch_defer(*(dict(one) for one in arguments))
