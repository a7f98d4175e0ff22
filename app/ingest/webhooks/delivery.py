"""Delivers webhooks, each at least once, unless the attempts are used up."""

import base64
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPResponse
from socket import socket
from typing import Literal, cast

from sqlalchemy import Column, Table, update
from sqlalchemy.orm import Session

from app import metrics
from app.catalog.standing import standing_search_rows
from app.database.connections import Sessions
from app.database.job_tables import jobs
from app.database.standing_tables import standing_matches
from app.errors import ImageSearchError, UrlNotAllowed, WebhookRejected
from app.ingest.jobs.task_queue import WEBHOOK, WEBHOOKS, enqueue
from app.ingest.webhooks.messages import WebhookMessage
from app.sources.checked_connections import (
    NUMBER_LAST,
    Connector,
    Wire,
    request_head,
    seconds_left,
    translated_errors,
)
from app.sources.url_check import checked_address, checked_url

log = logging.getLogger(__name__)

RETRY_SECONDS = (5, 60, 600, 3_600, 21_600, 86_400)  # after each attempt that failed
TOTAL_SECONDS = 5.0  # of an attempt; less than a worker that stops waits for its tasks
MAX_ANSWER_BYTES = 1 << 16  # of status line and headers; the body is not read
GONE = 410  # says that nobody wants this webhook any more
SECRET_PREFIX = "whsec_"  # noqa: S105  # of the setting, as Standard Webhooks writes secrets


Subject = Literal["ended_job", "standing_search"]
"""What a message reports on, as the tasks name it."""
ENDED_JOB: Subject = "ended_job"
STANDING_SEARCH: Subject = "standing_search"

_REPORTS: Mapping[Subject, tuple[Table, Column[int]]] = {
    ENDED_JOB: (jobs, jobs.c.id),
    STANDING_SEARCH: (standing_matches, standing_matches.c.search_id),
}
"""Where outcomes are noted: tables with the same columns `webhook_…`, and the subject's id."""


class _Refused(Exception):
    """The receiver answered, but did not take it; `is_final` if it asks for no more."""

    def __init__(self, status: int) -> None:
        super().__init__(f"The receiver answers with status {status}.")
        self.is_final = status == GONE


@dataclass(frozen=True)
class Attempt:
    """One attempt to deliver a message to `url`; the first has the number 1.

    It reports on the job or the standing search `subject_id`, as `subject` says.
    """

    subject: Subject
    subject_id: int
    url: str
    message: WebhookMessage
    number: int


@dataclass(frozen=True)
class Webhooks:
    """Sends webhooks that are signed by `key`; without one, none."""

    sessions: Sessions
    key: bytes | None
    connector: Connector

    def check(self, url: str) -> None:
        """Whether a request may name this address.

        Its host name is resolved and checked at each delivery. Raises WebhookRejected where no
        webhooks are sent, and UrlNotAllowed.
        """
        if self.key is None:
            raise WebhookRejected(
                "webhook_url: this service sends no webhooks, since IMAGE_SEARCH_WEBHOOK_SECRET is "
                "not set."
            )
        host = checked_url(url).host
        if ":" in host or NUMBER_LAST.fullmatch(host):
            checked_address(host, self.connector.allow)

    def deliver(self, attempt: Attempt) -> None:
        """Make the attempt and note its outcome, with the task of the next one if it failed.

        Not once its standing search was deleted: nobody wants it any more.
        """
        if not self._is_wanted(attempt):
            return
        reason, is_final = None, False
        try:
            self._post(attempt)
        except (ImageSearchError, _Refused) as error:
            reason = str(error)
            is_final = isinstance(error, UrlNotAllowed) or getattr(error, "is_final", False)
        with self.sessions.begin() as session:
            if reason is None:
                _note(session, attempt, "delivered", None)
                metrics.count_webhook("delivered")
            elif is_final or attempt.number > len(RETRY_SECONDS):
                _note(session, attempt, "failed", reason)
                metrics.count_webhook("failed")
            else:
                _note(session, attempt, "pending", reason)
                _enqueue_next(session, attempt)
                metrics.count_webhook("retried")
        if reason is not None:
            told = (attempt.subject.replace("_", " "), attempt.subject_id, attempt.number)
            total = 1 + len(RETRY_SECONDS)
            log.warning("the webhook of %s %s failed, attempt %s of %s: %s", *told, total, reason)

    def _is_wanted(self, attempt: Attempt) -> bool:
        if attempt.subject != STANDING_SEARCH:
            return True
        with self.sessions.begin() as session:
            return bool(standing_search_rows.lock_present(session, {attempt.subject_id}))

    def _post(self, attempt: Attempt) -> None:
        """Raises _Refused, UrlNotAllowed, SourceUnavailable, UrlUnreadable, ImageTooLarge."""
        if self.key is None:
            raise WebhookRejected("IMAGE_SEARCH_WEBHOOK_SECRET is not set where this worker runs.")
        checked = checked_url(attempt.url)
        body = attempt.message.body.encode()
        headers = {**attempt.message.headers(self.key), "Content-Length": str(len(body))}
        deadline = time.monotonic() + TOTAL_SECONDS
        with translated_errors(checked.host), self.connector.connect(checked, deadline) as sock:
            sock.settimeout(seconds_left(deadline))
            sock.sendall(request_head("POST", checked, headers) + body)
            wire = Wire(sock, deadline, MAX_ANSWER_BYTES)
            with HTTPResponse(cast(socket, wire), method="POST") as response:
                response.begin()
                status = response.status
        if not 200 <= status < 300:
            raise _Refused(status)


def key_of(secret: str) -> bytes:
    """The key in a secret of Standard Webhooks' form."""
    return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)


def _note(session: Session, attempt: Attempt, status: str, reason: str | None) -> None:
    """Note the outcome with what was reported, unless that is gone or was reported again since."""
    table, subject_id = _REPORTS[attempt.subject]
    query = update(table).where(
        subject_id == attempt.subject_id, table.c.webhook_id == attempt.message.id
    )
    values = {"webhook_status": status, "webhook_attempts": attempt.number}
    session.execute(query.values(**values, webhook_reason=reason))


def _enqueue_next(session: Session, attempt: Attempt) -> None:
    told = {attempt.subject: attempt.subject_id, "url": attempt.url, **vars(attempt.message)}
    told |= {"attempt": attempt.number + 1}
    wait_seconds = RETRY_SECONDS[attempt.number - 1]
    enqueue(session, WEBHOOK, WEBHOOKS, told, wait_seconds=wait_seconds)
