"""What a worker does besides running tasks: repeated work, and noticing a lost database."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

import psycopg
from procrastinate.exceptions import ConnectorException

from app.database.outages import OUTAGES, is_lost
from app.errors import Interrupted

log = logging.getLogger(__name__)

ALIVE_SECONDS = 2.0  # between two looks whether the database is there


def quiet_libraries() -> None:
    """Have the libraries of the queue leave it to us to say that the database is away.

    They log a traceback for each of their connections, and a line for each attempt.
    """
    logging.getLogger("procrastinate.utils").addFilter(_is_of_other_cause)
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)


def _is_of_other_cause(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return not (isinstance(error, ConnectorException) and is_lost(error))


async def repeat(
    work: Callable[[], None], seconds: float, failed: str, *, at_once: bool = False
) -> None:
    """Run `work` on a thread every so many seconds; a failure is logged as `failed`.

    Ends once `work` raises Interrupted.
    """
    if not at_once:
        await asyncio.sleep(seconds)
    while True:
        try:
            await asyncio.to_thread(work)
        except Interrupted:
            return
        except Exception as error:  # the queue's tasks go on, and so does this
            if is_lost(error):
                OUTAGES.note(error)
            else:
                log.exception(failed)
        await asyncio.sleep(seconds)


async def until_disconnected(conninfo: str, options: Mapping[str, Any]) -> None:
    """Raise an OperationalError once the database has been away, if only for a moment.

    A connection of its own notices each restart. procrastinate's listener and its heartbeat end at
    one, and without periodic tasks it does not notice that they have: jobs would wait for polls,
    and other workers would take this one for dead.
    """
    connection = await psycopg.AsyncConnection.connect(conninfo, autocommit=True, **options)
    async with connection:
        while True:
            await connection.execute("SELECT 1")
            await asyncio.sleep(ALIVE_SECONDS)
