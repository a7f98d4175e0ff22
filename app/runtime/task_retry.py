"""When a task of the queue that failed is run again."""

import procrastinate
from procrastinate.jobs import Job as Task

from app.errors import IndexGone, Interrupted, ModelUnavailable, StorageUnwritable

RETRY_SECONDS = 5  # before a task that failed for a passing reason is run again
RETRY_SECONDS_OF = (  # by type
    (Interrupted, 0),
    (IndexGone, 0),  # another one took its place
    (ModelUnavailable, 60),
    (StorageUnwritable, 15),
)


class TaskRetry(procrastinate.BaseRetryStrategy):
    """Retries every task that raised: a task ends normally once its job has failed for good."""

    def get_retry_decision(
        self, *, exception: BaseException, job: Task
    ) -> procrastinate.RetryDecision:
        """Again, after as many seconds as the failure's type needs."""
        wait = next(
            (seconds for kind, seconds in RETRY_SECONDS_OF if isinstance(exception, kind)),
            RETRY_SECONDS,
        )
        return procrastinate.RetryDecision(retry_in={"seconds": wait})
