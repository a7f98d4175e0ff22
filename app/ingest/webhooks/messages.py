"""What a webhook says, and its signature (https://www.standardwebhooks.com, version 1)."""

import base64
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self
from uuid import uuid4

from app.catalog.standing.match_rows import NewMatch
from app.catalog.standing.standing_search_rows import StandingSearch
from app.database.job_tables import OUTCOMES

JOB_ENDED = "job.ended"
MATCHED = "standing_search.matched"
FACTS = ("namespace", "collection", "mode", "dry_run", "reason", "total", *OUTCOMES)
"""Of a job, besides its id, status and times."""


@dataclass(frozen=True)
class WebhookMessage:
    """A message: every attempt to deliver it sends the same `id` and the same `body`."""

    id: str
    body: str

    @classmethod
    def of_end(cls, job: Mapping[str, Any]) -> Self:
        """The message that a job has ended; `job` has the columns of its row, by name."""
        told = {"job_id": job["id"], "status": job["state"], **{name: job[name] for name in FACTS}}
        times = {name: _iso(job[name]) for name in ("created_at", "started_at", "finished_at")}
        content = {
            "type": JOB_ENDED,
            "timestamp": times["finished_at"],
            "data": {**told, **times},
        }
        return cls(message_id(), json.dumps(content, ensure_ascii=False))

    @classmethod
    def of_matches(cls, id_: str, search: StandingSearch, found: Sequence[NewMatch]) -> Self:
        """The message that a standing search has found new pictures; `id_` is a `message_id`.

        It tells of them by their ids alone: one that is deleted before it arrives is not shown.
        """
        facts = ("image_id", "similarity", "confidence")
        told = {
            "standing_search_id": search.id,
            "namespace": search.namespace,
            "collection": search.collection,
            "matches": [{name: getattr(one, name) for name in facts} for one in found],
        }
        content = {"type": MATCHED, "timestamp": _iso(datetime.now(UTC)), "data": told}
        return cls(id_, json.dumps(content, ensure_ascii=False))

    def headers(self, key: bytes) -> dict[str, str]:
        """The headers of an attempt that is made now, signed by `key`."""
        timestamp = str(int(time.time()))
        signed = f"{self.id}.{timestamp}.{self.body}".encode()
        signature = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
        return {
            "Content-Type": "application/json",
            "webhook-id": self.id,
            "webhook-timestamp": timestamp,
            "webhook-signature": f"v1,{signature}",
        }


def message_id() -> str:
    """The id of a new message."""
    return f"msg_{uuid4().hex}"


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat()
