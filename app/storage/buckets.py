"""Read access to buckets of S3, R2 and compatible services. Only `app.storage` imports boto3."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
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
READ_SECONDS = 20.0  # without a byte, not for the whole response
ATTEMPTS = 3  # including the first; boto3 waits up to 1 s, then up to 2 s in between
CONNECTIONS = 32  # in the pool that all threads share
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
    """An object being read: `size` bytes in chunks, once; `close` abandons the rest.

    `content_range` is the HTTP header of that name if a range of the object is read, and `etag`
    is without its quotes.
    """

    bucket: str
    key: str
    size: int
    etag: str
    modified: datetime
    content_range: str | None
    body: Any

    def __iter__(self) -> Iterator[bytes]:
        """The chunks. Raises SourceUnavailable if the connection breaks or stalls."""
        with closing(self):
            while True:
                with in_words(self.bucket, self.key):
                    chunk: bytes = self.body.read(CHUNK_BYTES)
                if not chunk:
                    return
                yield chunk

    def close(self) -> None:
        """Return the connection to the pool, or close it if the object was not read to its end."""
        self.body.close()


@dataclass(frozen=True)
class Buckets:
    """Access to an endpoint: AWS without `endpoint_url`; boto3's credential chain without keys."""

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
        """The bucket of that name; a missing bucket raises at its first use."""
        return Bucket(name, self)

    def client(self) -> Any:
        """boto3's client. Raises boto3's errors, or ValueError for a malformed endpoint."""
        with self._lock:  # clients are thread-safe, creating one is not
            return self._client

    def at_home(self, name: str) -> "Buckets":
        """The same in the bucket's region, looked up once: AWS needs it in presigned URLs."""
        if self.endpoint_url is not None or self.region != AUTO:
            return self
        if name not in self._homes:
            region = self.client().head_bucket(Bucket=name).get("BucketRegion")
            self._homes[name] = replace(self, region=region) if region else self
        home: Buckets = self._homes[name]
        return home

    @cached_property
    def _client(self) -> Any:
        from boto3.session import Session  # takes 0.1 s: only users of buckets pay for it
        from botocore.config import Config

        aws = self.endpoint_url is None
        config = Config(
            connect_timeout=self.connect_seconds,
            read_timeout=self.read_seconds,
            retries={"mode": "standard", "total_max_attempts": self.attempts},
            max_pool_connections=CONNECTIONS,
            signature_version="s3v4",
            s3={"addressing_style": "auto" if aws else "path"},
            request_checksum_calculation="when_required",  # all that R2 and others support
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
    """Read access to one bucket.

    Every method raises SourceUnreadable if a person must act (keys, names, the endpoint), and
    SourceUnavailable if a retry may help.
    """

    name: str
    buckets: Buckets

    def objects(self, prefix: str = "", after: str | None = None) -> Iterator[StoredObject]:
        """The objects whose keys begin with `prefix`, sorted by the UTF-8 bytes of their keys.

        With `after`, only keys greater than it, so that a listing can be resumed. Folders, whose
        keys end in /, are skipped.
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
        """Whether the object exists; a HEAD could not tell a missing key from a missing bucket."""
        page = self._page(Prefix=key, MaxKeys=1)
        return any(item["Key"] == key for item in page.get("Contents", ()))

    def open(
        self, key: str, etag: str | None = None, byte_range: str | None = None
    ) -> OpenedObject:
        """An object to read in chunks; with `etag`, only if it is unchanged.

        With `byte_range`, only those bytes, as the HTTP header Range names them.
        Raises ImageVanished if it is gone or was replaced, EntryRefused if it is archived,
        RangeNotSatisfiable if the range begins after its end.
        """
        wanted = {} if etag is None else {"IfMatch": f'"{etag}"'}
        if byte_range is not None:
            wanted["Range"] = byte_range
        with in_words(self.name, key):
            answer = self.buckets.client().get_object(Bucket=self.name, Key=key, **wanted)
        return OpenedObject(
            bucket=self.name,
            key=key,
            size=answer["ContentLength"],
            etag=answer["ETag"].strip('"'),
            modified=answer["LastModified"],
            content_range=answer.get("ContentRange"),
            body=answer["Body"],
        )

    def read(
        self, key: str, max_bytes: int, check: Callable[[bytes], object] | None = None
    ) -> bytes:
        """The object's bytes; `check` takes the first of them and may raise, to refuse the rest.

        Raises as `open`, and ImageTooLarge above `max_bytes`.
        """
        data = bytearray()
        with closing(self.open(key)) as opened:
            for chunk in opened:
                if check is not None and not data:
                    check(chunk)
                data += chunk
                if max(opened.size, len(data)) > max_bytes:
                    text = f"The file has more than the {max_bytes / 1e6:g} MB allowed."
                    raise errors.ImageTooLarge(text)
        return bytes(data)

    def download(self, key: str, etag: str, target: Path, stop: Event | None = None) -> None:
        """Copy the object to `target`, completely or not at all; its folder must exist.

        Raises as `open`, SourceUnavailable once `stop` is set, or OSError.
        """
        with closing(self.open(key, etag)) as opened, whole_file(target) as file:
            for chunk in opened:
                if stop is not None and stop.is_set():
                    raise errors.SourceUnavailable(f"{key} was not copied completely.")
                file.write(chunk)

    def presigned_url(self, key: str, seconds: int) -> str:
        """A URL with which anyone can GET the object for that many seconds."""
        wanted = {"Bucket": self.name, "Key": key}
        with in_words(self.name, key):
            client = self.buckets.at_home(self.name).client()
            return str(client.generate_presigned_url("get_object", wanted, seconds))

    def _page(self, **wanted: Any) -> Mapping[str, Any]:
        with in_words(self.name):
            page: dict[str, Any] = self.buckets.client().list_objects_v2(Bucket=self.name, **wanted)
        if page.get("IsTruncated") is False or "NextContinuationToken" in page:
            return page
        # Read as the end of the listing, this would make all other objects look deleted.
        raise errors.SourceUnreadable(f"{ENDPOINT} does not answer like an S3 service.")


@contextmanager
def in_words(bucket: str, key: str | None = None) -> Iterator[None]:
    """Translate boto3's errors, dropping their texts, which quote endpoints and keys."""
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
        raise errors.SourceUnreadable(
            f"The bucket {bucket!r} cannot be addressed: see {see}."
        ) from None


def _refusal(answer: Mapping[str, Any], bucket: str, key: str | None) -> errors.ImageSearchError:
    """The domain error for an S3 error response."""
    code = str(answer["Error"].get("Code"))
    status: int = answer["ResponseMetadata"]["HTTPStatusCode"]
    if key is not None and code in GONE_CODES:
        return errors.ImageVanished(f"{key} {GONE_CODES[code]}.")
    if code == "InvalidRange":
        size = str(answer["Error"].get("ActualObjectSize", ""))
        text = f"The file has {size} bytes." if size else "The file has fewer bytes."
        return errors.RangeNotSatisfiable(text, int(size) if size.isdecimal() else None)
    if code == "InvalidObjectState":
        return errors.EntryRefused(f"{key} lies in the bucket's archive: restore it first.")
    if code == "NoSuchBucket":
        return errors.SourceUnreadable(f"There is no bucket {bucket}: see S3_BUCKET, {ENDPOINT}.")
    text = f"The bucket {bucket} answers {code}"
    if status >= 500 or status == 429 or code in PASSING_CODES:
        return errors.SourceUnavailable(f"{text}: try again, or see {ENDPOINT}.")
    return errors.SourceUnreadable(f"{text}: see {KEYS}, {ENDPOINT}, S3_REGION.")
