"""What goes wrong. Without an answer at all, it is one of httpx's own errors."""

import httpx
from pydantic import ValidationError

from picture_search_client.models import Job, Problem


class ApiError(Exception):
    """The service has refused a request; `problem` says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.status} {problem.code}: {problem.detail}")
        self.problem = problem

    @classmethod
    def of(cls, response: httpx.Response) -> "ApiError":
        """The error of a response, also of a proxy, which says nothing of the problem."""
        try:
            return cls(Problem.model_validate_json(response.content))
        except ValidationError:
            words = response.reason_phrase or "an error"
            problem = {"status": response.status_code, "title": words, "code": "unknown",
                       "detail": f"The address answers {words}."}  # fmt: skip
            return cls(Problem.model_validate(problem))


Outcome = httpx.Response | httpx.TransportError
"""A response, or why there was none."""


def failure_of(outcome: Outcome) -> Exception:
    """What is raised in the end."""
    return ApiError.of(outcome) if isinstance(outcome, httpx.Response) else outcome


class JobUnfinished(Exception):  # in the words of the domain
    """The time to wait for a job is over; the job itself goes on."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"Job {job.id} is {job.status}: {job.done} of {job.total} files are done.")
        self.job = job
