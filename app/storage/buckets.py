"""Objects in buckets of S3, R2 or the like, to read from. No other module knows boto3."""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from threading import Event, Lock
from typing import Any

from botocore import exceptions as boto
from urllib3.exceptions import HTTPError

from app import errors
from app.storage.disk import whole_file

AUTO = "auto"  # R2's only region; on AWS: the one that boto3 or the bucket itself names
CONNECT_SECONDS = 5.0
READ_SECONDS = 20.0  # of silence, not of the whole answer
ATTEMPTS = 3  # with the first one; boto3 waits up to 1 s, then up to 2 s between them
CONNECTIONS = 32  # kept for threads side by side
CHUNK_BYTES = 1 << 18
KEYS = "S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY"
ENDPOINT = "S3_ENDPOINT_URL"
GONE_CODES = {"NoSuchKey": "is gone", "PreconditionFailed": "was replaced"}
PASSING_CODES = {"RequestTimeout", "SlowDown", "Throttling", "ThrottlingException"}
KEYLESS = (boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError)
SLOW = (boto.ReadTimeoutError, boto.ConnectTimeoutError)
PASSING = (boto.HTTPClientError, boto.ConnectionError, boto.IncompleteReadError, HTTPError)


@dataclass(frozen=True)
class StoredObject:
    """An object as a listing shows it: `etag` without its quotes, `size` in bytes."""

    key: str
    etag: str
    size: int


@dataclass(frozen=True)
class OpenedObject:
    """An object being read: `size` bytes, in chunks, once; `close` gives up the rest."""

    bucket: str
    key: str
    size: int
    body: Any

    def __iter__(self) -> Iterator[bytes]:
        """The chunks. Raises SourceUnavailable where they break off or cease to come."""
        with closing(self):
            while True:
                with _in_words(self.bucket, self.key):
                    chunk: bytes = self.body.read(CHUNK_BYTES)
                if not chunk:
                    return
                yield chunk

    def close(self) -> None:
        """Give the connection back, or close it where the object was not read to its end."""
        self.body.close()


@dataclass(frozen=True)
class Buckets:
    """Where buckets are: without `endpoint_url` on AWS; without keys, boto3 looks for some."""

    endpoint_url: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    region: str = AUTO
    connect_seconds: float = CONNECT_SECONDS
    read_seconds: float = READ_SECONDS
    attempts: int = ATTEMPTS
    _lock: Lock = field(default_factory=Lock, init=False, repr=False, compare=False)
    _homes: Any = field(default_factory=dict, init=False, repr=False, compare=False)

    def bucket(self, name: str) -> "Bucket":
        """The bucket of that name; whether it is there, its first use shows."""
        return Bucket(name, self)

    def client(self) -> Any:
        """boto3's client. Raises boto3's errors, or ValueError for a malformed endpoint."""
        with self._lock:  # clients are for several threads, but making one is not
            return self._client

    def at_home(self, name: str) -> "Buckets":
        """The same in the bucket's region, which AWS, asked once, wants in a presigned URL."""
        if self.endpoint_url is not None or self.region != AUTO:
            return self
        if name not in self._homes:
            region = self.client().head_bucket(Bucket=name).get("BucketRegion")
            self._homes[name] = replace(self, region=region) if region else self
        home: Buckets = self._homes[name]
        return home

    @cached_property
    def _client(self) -> Any:
        from boto3.session import Session  # 0.1 s, which only those with a bucket shall pay
        from botocore.config import Config

        aws = self.endpoint_url is None
        config = Config(
            connect_timeout=self.connect_seconds,
            read_timeout=self.read_seconds,
            retries={"mode": "standard", "total_max_attempts": self.attempts},
            max_pool_connections=CONNECTIONS,
            signature_version="s3v4",
            s3={"addressing_style": "auto" if aws else "path"},
            request_checksum_calculation="when_required",  # R2 and others know no more
            response_checksum_validation="when_required",
        )
        region = None if aws and self.region == AUTO else self.region
        return Session(region_name=region).client(
            "s3",
            endpoint_url=self.endpoint_url,
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
            config=config,
        )


@dataclass(frozen=True)
class Bucket:
    """One bucket, to read from.

    Every method raises SourceUnreadable where a person must act (keys, names, the endpoint),
    and SourceUnavailable where trying again may help.
    """

    name: str
    buckets: Buckets

    def objects(self, prefix: str = "", after: str | None = None) -> Iterator[StoredObject]:
        """The objects whose keys begin with `prefix`, sorted by the UTF-8 bytes of their keys.

        With `after`, only those behind that key: a listing is taken up where it was left.
        Folders, whose keys end in /, are passed over.
        """
        place = {"StartAfter": after} if after else {}
        while True:
            page = self._page(Prefix=prefix, **place)
            for item in page.get("Contents", ()):
                if not item["Key"].endswith("/"):
                    yield StoredObject(item["Key"], item["ETag"].strip('"'), item["Size"])
            if not page["IsTruncated"]:
                return
            place = {"ContinuationToken": page["NextContinuationToken"]}

    def exists(self, key: str) -> bool:
        """Whether the object is there; a HEAD would not tell it from an absent bucket."""
        page = self._page(Prefix=key, MaxKeys=1)
        return any(item["Key"] == key for item in page.get("Contents", ()))

    def open(self, key: str, etag: str | None = None) -> OpenedObject:
        """An object to be read in chunks; with `etag`, only if it still has that one.

        Raises ImageVanished if it is gone or replaced, EntryRefused if it lies in an archive.
        """
        wanted = {} if etag is None else {"IfMatch": f'"{etag}"'}
        with _in_words(self.name, key):
            answer = self.buckets.client().get_object(Bucket=self.name, Key=key, **wanted)
        return OpenedObject(self.name, key, answer["ContentLength"], answer["Body"])

    def read(self, key: str, max_bytes: int) -> bytes:
        """The object's bytes. Raises what `open` does, ImageTooLarge over `max_bytes`."""
        data = bytearray()
        with closing(self.open(key)) as opened:
            for chunk in opened:
                data += chunk
                if max(opened.size, len(data)) > max_bytes:
                    text = f"The file has more than the {max_bytes / 1e6:g} MB allowed."
                    raise errors.ImageTooLarge(text)
        return bytes(data)

    def download(self, key: str, etag: str, target: Path, stop: Event | None = None) -> None:
        """Copy the object to `target`, whole or not at all; its folder must be there.

        Raises what `open` does, SourceUnavailable once `stop` is set, or OSError.
        """
        with closing(self.open(key, etag)) as opened, whole_file(target) as file:
            for chunk in opened:
                if stop is not None and stop.is_set():
                    raise errors.SourceUnavailable(f"{key} was not copied to its end.")
                file.write(chunk)

    def presigned_url(self, key: str, seconds: int) -> str:
        """A URL by which anyone may GET the object for so many seconds."""
        wanted = {"Bucket": self.name, "Key": key}
        with _in_words(self.name, key):
            client = self.buckets.at_home(self.name).client()
            return str(client.generate_presigned_url("get_object", wanted, seconds))

    def _page(self, **wanted: Any) -> Mapping[str, Any]:
        with _in_words(self.name):
            page: dict[str, Any] = self.buckets.client().list_objects_v2(Bucket=self.name, **wanted)
        if page.get("IsTruncated") is False or "NextContinuationToken" in page:
            return page
        # Taken for the end of the listing, it would make all other objects look deleted.
        raise errors.SourceUnreadable(f"{ENDPOINT} does not answer as S3 does.")


@contextmanager
def _in_words(bucket: str, key: str | None = None) -> Iterator[None]:
    """boto3's errors as ours, without boto3's texts, which quote endpoints and keys."""
    try:
        yield
    except boto.ClientError as error:
        raise _refusal(error.response, bucket, key) from None
    except PASSING as error:
        what = "takes too long" if isinstance(error, SLOW) else "cannot be reached, or breaks off"
        raise errors.SourceUnavailable(f"The bucket {bucket} {what}: see {ENDPOINT}.") from None
    except KEYLESS:
        raise errors.SourceUnreadable(f"The bucket {bucket} needs keys: set {KEYS}.") from None
    except (boto.BotoCoreError, ValueError) as error:
        see = "S3_BUCKET" if isinstance(error, boto.ParamValidationError) else ENDPOINT
        raise errors.SourceUnreadable(f"No bucket can be asked as {bucket!r}: see {see}.") from None


def _refusal(answer: Mapping[str, Any], bucket: str, key: str | None) -> errors.ImageSearchError:
    """What an answer that is an error means."""
    code = str(answer["Error"].get("Code"))
    status: int = answer["ResponseMetadata"]["HTTPStatusCode"]
    if key is not None and code in GONE_CODES:
        return errors.ImageVanished(f"{key} {GONE_CODES[code]}.")
    if code == "InvalidObjectState":
        return errors.EntryRefused(f"{key} lies in the bucket's archive: restore it first.")
    if code == "NoSuchBucket":
        return errors.SourceUnreadable(f"There is no bucket {bucket}: see S3_BUCKET, {ENDPOINT}.")
    text = f"The bucket {bucket} answers {code}"
    if status >= 500 or status == 429 or code in PASSING_CODES:
        return errors.SourceUnavailable(f"{text}: try again, or see {ENDPOINT}.")
    return errors.SourceUnreadable(f"{text}: see {KEYS}, {ENDPOINT}, S3_REGION.")
