"""A database that goes away is told once, with its cause, and so is its return."""

import logging

import psycopg
import pytest
from procrastinate.exceptions import ConnectorException
from sqlalchemy.exc import OperationalError

from app.database.outages import Outages, is_lost
from app.runtime.worker_loops import quiet_libraries

REFUSED = psycopg.OperationalError("connection failed: Connection refused\n\tIs it running?")


def test_each_outage_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    outages = Outages()
    outages.end()
    for _ in range(2):
        for _ in range(3):
            outages.note(OperationalError("SELECT 1", {}, REFUSED))
        for _ in range(2):
            outages.end()
    away = (
        "The database is away: connection failed: Connection refused. Requests get 503 and jobs "
        "wait until it answers."
    )
    again = "The database answers again, after 0 s."
    assert [one.getMessage() for one in caplog.records] == [away, again] * 2


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (REFUSED, True),
        (psycopg.errors.AdminShutdown("terminating connection"), True),
        (OperationalError("", {}, psycopg.errors.CannotConnectNow("starting up")), True),
        (psycopg.errors.DiskFull("No space left"), False),
        (psycopg.errors.LockNotAvailable("canceling statement"), False),
        (ValueError("ours"), False),
    ],
)
def test_what_is_lost(error: Exception, lost: bool) -> None:
    assert is_lost(error) is lost
    wrapped = ConnectorException()
    wrapped.__cause__ = getattr(error, "orig", error)
    assert is_lost(wrapped) is lost


def test_libraries_leave_it_to_us(caplog: pytest.LogCaptureFixture) -> None:
    """Found by a trial: a killed Postgres wrote a traceback for each connection of the queue."""
    quiet_libraries()
    library = logging.getLogger("procrastinate.utils")
    lost, other = ConnectorException(), ConnectorException()
    lost.__cause__ = REFUSED
    other.__cause__ = psycopg.errors.UndefinedTable("procrastinate_jobs")
    for error in (lost, other):
        library.error("listener error", exc_info=error)
    assert [one.exc_info and one.exc_info[1] for one in caplog.records] == [other]
