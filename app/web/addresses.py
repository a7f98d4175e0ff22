"""The addresses in answers, as clients reach them: below ROOT_PATH where a proxy adds a prefix."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Addresses:
    """Paths from the root of the host; `root_path` is empty, or `/prefix` without a slash after."""

    root_path: str = ""

    def file(self, image_id: int) -> str:
        """The original file of a picture."""
        return f"{self.root_path}/images/{image_id}/file"

    def thumbnail(self, image_id: int) -> str:
        """The thumbnail of a picture."""
        return f"{self.root_path}/images/{image_id}/thumbnail"

    def job(self, job_id: int) -> str:
        """The progress of a job."""
        return f"{self.root_path}/api/v1/jobs/{job_id}"

    def job_events(self, job_id: int) -> str:
        """The progress of a job as server-sent events."""
        return f"{self.job(job_id)}/events"

    def collection(self, namespace: str, name: str) -> str:
        """A collection."""
        return f"{self.root_path}/api/v1/collections/{name}?namespace={namespace}"
