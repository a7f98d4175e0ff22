"""Embed pictures on a Ray cluster: `python -m scripts.embed_on_ray s3://bucket/prefix TO`.

For libraries that one machine would embed for weeks. It writes a dataset, part by part, that
`make import FROM=TO` brings into a collection. Each part is written whole or not at
all, so that after any end the same command goes on where it stopped.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from app import VERSION
from app.catalog.images.new_images import MetadataRules, new_image
from app.errors import DatasetRejected, ImageRejected
from app.pictures.decoding import decode
from app.pictures.formats import check_signature
from app.runtime.backing_services import open_buckets
from app.runtime.collection_assembly import MEGA
from app.runtime.dataset.file_kinds import files_of
from app.runtime.dataset.manifest import MANIFEST, Manifest, ModelOfVectors
from app.runtime.dataset.tables import IMAGES, JSON_KINDS, Batch, Kind, Row
from app.runtime.models import default_model, load_encoder
from app.settings import ROOT, Settings
from app.sources.bucket_folders import BucketFolder
from app.sources.folders import Folder
from app.sources.ignored_names import IgnoredNames
from app.sources.interfaces import S3_SCHEME, Source, SourceFile
from app.storage.disk import whole_file
from scripts.command_line import run_command, sentences

PART = 512  # pictures in a part: what a worker does again after one has died
ENCODED = 32  # pictures at once
LISTING, REFUSED = "listing", "refused"  # folders beside the one of each table
EXTRA = (
    "This needs Ray: .venv/bin/uv pip install 'ray[data]>=2.60,<3', here and on each node of the "
    "cluster."
)


@dataclass(frozen=True)
class Job:
    """What every worker is told; `folder` and the pictures are at the same place for all of them.

    Each reads the settings of its own machine: those with keys are not sent around.
    """

    source: str
    folder: Path
    fingerprint: str

    def listed(self, part: int) -> Path:
        """The part's files, as they were listed."""
        return self.folder / LISTING / f"{part:09}.json"

    def embedded(self, part: int) -> Path:
        """The part's records and vectors; there once the part is done."""
        return self.folder / IMAGES.name / f"{part:09}.parquet"

    def refused(self, part: int) -> Path:
        """The part's files that are no pictures, each with the reason."""
        return self.folder / REFUSED / f"{part:09}.json"


class Embedder:
    """A worker of the cluster, with the model in its memory."""

    def __init__(self, job: Job) -> None:
        """Raises ModelUnavailable, and DatasetRejected where this machine has another model."""
        self._job, self._settings = job, Settings.load()
        self._encoder = load_encoder(self._settings, default_model(self._settings))
        if self._encoder.space.fingerprint != job.fingerprint:
            raise DatasetRejected(
                f"The model here ({self._encoder.space.fingerprint[:12]}) is not the one where the "
                f"job was started ({job.fingerprint[:12]}): use the same weights everywhere."
            )
        self._source = open_source(job.source)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[int]]:
        """Embed the parts whose numbers are in the batch."""
        parts = [int(number) for number in batch["part"]]
        for part in parts:
            self._embed(part)
        return {"part": parts}

    def _embed(self, part: int) -> None:
        """Write a part. Raises SourceUnavailable, OSError, and then the part is not there."""
        job, space = self._job, self._encoder.space
        files = json.loads(job.listed(part).read_text(encoding="utf-8"))
        refused: dict[str, str] = {}
        batches = list(self._batches([SourceFile(*file) for file in files], part * PART, refused))
        if refused:
            with whole_file(job.refused(part)) as file:
                file.write(json.dumps(refused, ensure_ascii=False).encode())
        from app.runtime.dataset import parquet_files

        parquet_files.write_part(job.embedded(part), IMAGES, space.dimensions, batches)

    def _batches(
        self, files: list[SourceFile], first: int, refused: dict[str, str]
    ) -> Iterator[Batch]:
        """Their records and vectors, ENCODED at a time; `refused` gets what is no picture."""
        numbered = iter(enumerate(files, first))
        while some := list(islice(numbered, ENCODED)):
            rows, pixels = [], []
            for number, file in some:
                try:
                    row, picture = self._read(number, file)
                except ImageRejected as error:
                    refused[file.path] = str(error)
                else:
                    rows.append(row)
                    pixels.append(self._encoder.prepare(picture))
            if rows:
                yield Batch(rows, self._encoder.encode_pixels(pixels))

    def _read(self, number: int, file: SourceFile) -> tuple[Row, Any]:
        """A file's record and pixels. Raises ImageRejected, SourceUnavailable."""
        settings = self._settings
        max_bytes = int(settings.max_file_mb * MEGA)
        data = self._source.read(file.path, max_bytes, check_signature)
        picture = decode(data, settings.max_megapixels, is_background=True)
        rules = MetadataRules(settings.keep_gps, settings.zone)
        values = new_image(file.path, file.etag, data, picture, rules=rules).values()
        values |= {"id": number, "sha256": values["content_hash"].hex(),
                   "created_at": datetime.now(UTC)}  # fmt: skip
        return tuple(_written(kind, values.get(name)) for name, kind in IMAGES.columns.items()), (
            picture.image
        )


def _written(kind: Kind, value: Any) -> Any:
    is_json = kind in JSON_KINDS and value is not None
    return json.dumps(value, ensure_ascii=False) if is_json else value


def open_source(source: str) -> Source:
    """A folder, or s3://bucket/prefix."""
    settings = Settings.load()
    ignored = IgnoredNames(settings.ignored_names)
    if not source.startswith(S3_SCHEME):
        return Folder(Path(source).absolute(), ROOT, ignored)
    bucket, _, prefix = source.removeprefix(S3_SCHEME).partition("/")
    return BucketFolder(open_buckets(settings).bucket(bucket), prefix, ignored)


def list_source(job: Job) -> int:
    """Write the source's files in parts of PART; returns how many parts there are.

    What was listed by an earlier run stays, so that its parts stay what they were.
    """
    done = job.folder / LISTING / "parts.json"
    if done.exists():
        return int(json.loads(done.read_text()))
    found = open_source(job.source).files()
    files = (each for each in found if isinstance(each, SourceFile))
    count = 0
    while some := list(islice(files, PART)):
        with whole_file(job.listed(count)) as file:
            file.write(json.dumps(some, ensure_ascii=False).encode())
        count += 1
    with whole_file(done) as file:
        file.write(json.dumps(count).encode())
    return count


def embed_parts(job: Job, parts: list[int], workers: int) -> None:
    """Have the cluster embed them; a part whose worker dies is given to another."""
    import ray

    numbers = ray.data.from_items(
        [{"part": part} for part in parts], override_num_blocks=len(parts)
    )
    pool = ray.data.ActorPoolStrategy(min_size=1, max_size=workers)
    embedded = numbers.map_batches(Embedder, fn_constructor_args=(job,), batch_size=1, compute=pool)
    done = sum(1 for _ in embedded.iter_rows())
    if done != len(parts):
        raise DatasetRejected(
            f"{len(parts) - done} parts were not embedded: run this command again."
        )


def finish(job: Job, parts: int, model: ModelOfVectors) -> tuple[int, dict[str, str]]:
    """Write the manifest: how many pictures are in the dataset, and what was refused, and why."""
    from app.runtime.dataset import parquet_files

    rows = sum(parquet_files.count_rows(job.embedded(part)) for part in range(parts))
    refused: dict[str, str] = {}
    for path in sorted((job.folder / REFUSED).iterdir()):
        refused |= json.loads(path.read_text(encoding="utf-8"))
    manifest = Manifest(
        files="parquet", made_at=datetime.now(UTC), version=VERSION, namespace="default",
        collection="default", language="english", fields={}, pages="first", model=model,
        storage="halfvec", rows={IMAGES.name: rows}, without_vector=len(refused),
    )  # fmt: skip
    with whole_file(job.folder / MANIFEST) as file:
        file.write(manifest.model_dump_json(indent=2).encode())
    return rows, refused


def main(
    source: Annotated[str, typer.Argument(help="a folder that all nodes have, or s3://bucket/…")],
    folder: Annotated[Path, typer.Argument(help="where to write; all nodes have it too")],
    workers: Annotated[int, typer.Option(min=1, help="processes with the model in memory")] = 2,
    address: Annotated[str, typer.Option(help="of the Ray cluster; none: on this machine")] = "",
) -> None:
    """Embed all pictures of the source; called again, go on where an earlier run stopped."""
    with sentences("Not embedded"):
        files_of("parquet")
        try:
            import ray
        except ImportError:
            sys.exit(EXTRA)
        settings = Settings.load()
        space = load_encoder(settings, default_model(settings)).space
        job = Job(source, folder.absolute(), space.fingerprint)
        for name in (LISTING, IMAGES.name, REFUSED):
            (job.folder / name).mkdir(parents=True, exist_ok=True)
        parts = list_source(job)
        left = [part for part in range(parts) if not job.embedded(part).exists()]
        print(f"{parts - len(left)} of {parts} parts are done.", flush=True)
        if left:
            # A cluster of our own needs a core for each worker, and one for what feeds them.
            cores = {} if address else {"num_cpus": workers + 1}
            ray.init(address or None, log_to_driver=False, **cores)
            embed_parts(job, left, workers)
        rows, refused = finish(job, parts, ModelOfVectors(**vars(space)))
    print(f"{job.folder}: {rows} pictures. Next: make import FROM={job.folder}")
    for path, reason in list(refused.items())[:10]:
        print(f"refused: {path}: {reason}")
    if len(refused) > 10:
        print(f"refused: {len(refused) - 10} more, in {job.folder / REFUSED}")


if __name__ == "__main__":
    run_command(main)
