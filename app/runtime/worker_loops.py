"""What a worker does besides running tasks: repeated work, and noticing a lost database."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

import psycopg

from app.errors import Interrupted

log = logging.getLogger(__name__)

ALIVE_SECONDS = 2.0  # between two looks whether the database is there


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
        except Exception:  # the queue's tasks go on, and so does this
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
