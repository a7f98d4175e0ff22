"""Writing to buckets: only backups do."""

from pathlib import Path

from app.storage.buckets import Bucket, in_words


def put_file(bucket: Bucket, key: str, path: Path) -> None:
    """Store a file as an object, which is there as a whole or not at all; large ones in parts.

    Raises SourceUnreadable, SourceUnavailable or OSError.
    """
    from boto3.s3.transfer import TransferConfig  # takes 0.1 s, as boto3 does

    config = TransferConfig(use_threads=False)
    with path.open("rb") as file, in_words(bucket.name):
        bucket.buckets.client().upload_fileobj(file, bucket.name, key, Config=config)


def delete(bucket: Bucket, key: str) -> None:
    """Delete an object if it is there. Raises SourceUnreadable or SourceUnavailable."""
    with in_words(bucket.name):
        bucket.buckets.client().delete_object(Bucket=bucket.name, Key=key)
