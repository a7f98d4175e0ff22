"""Write a collection as files for other programs, and bring such files: `make export`, `import`."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from app.runtime.dataset.clip_retrieval import import_clip_retrieval
from app.runtime.dataset.exporting import export_dataset
from app.runtime.dataset.importing import import_dataset
from app.runtime.dataset.loading import Loading
from app.runtime.dataset.manifest import FileKind
from app.runtime.models import model_name
from scripts.command_line import open_database, sentences

Namespace = Annotated[str, typer.Option(help="of the collection")]
Collection = Annotated[str, typer.Option(help="its name")]


def export(
    folder: Annotated[Path, typer.Argument(help="a new or empty folder")],
    files: Annotated[FileKind, typer.Option(help="parquet, or npy beside JSON Lines")] = "parquet",
    namespace: Namespace = "default",
    collection: Collection = "default",
) -> None:
    """Write records, vectors, labels and ratings of a collection for other programs."""
    with sentences("Not exported"), open_database() as sessions, _progress("Exporting") as tell:
        names = (namespace, collection)
        manifest = export_dataset(sessions, names, _absolute(folder), files, tell)
    counts = ", ".join(f"{count} {name}" for name, count in manifest.rows.items() if count)
    print(f"{_absolute(folder)}: {counts or 'no pictures'}.")
    if manifest.without_vector:
        print(f"{manifest.without_vector} pictures without a vector were left out: see the doctor.")


def import_(
    folder: Annotated[Path, typer.Argument(help="what `export dataset` has written")],
    namespace: Namespace = "default",
    collection: Collection = "default",
) -> None:
    """Bring an exported dataset into a collection; no model is run, and no picture read."""
    with sentences("Not imported"), open_database() as sessions, _progress("Importing") as tell:
        done = import_dataset(sessions, (namespace, collection), _absolute(folder), tell)
    _print(done)


def clip_retrieval(
    folder: Annotated[Path, typer.Argument(help="with img_emb and metadata")],
    model: Annotated[str, typer.Option(help="that made the vectors: model@tag, or a preset")],
    namespace: Namespace = "default",
    collection: Collection = "default",
) -> None:
    """Bring the vectors and records of clip-retrieval into a collection of the same model."""
    named = model_name(model)
    names, made_by = (namespace, collection), (named.model, named.pretrained)
    with sentences("Not imported"), open_database() as sessions, _progress("Importing") as tell:
        done = import_clip_retrieval(sessions, names, _absolute(folder), made_by, tell)
    _print(done)


def _print(done: Loading) -> None:
    counts = done.counts
    print(
        f"{counts['added']} added, {counts['known']} already there, {counts['left out']} left out."
    )
    if counts["labels"] or counts["ratings"]:
        print(f"{counts['labels']} labels and {counts['ratings']} ratings came along.")
    if counts["without file"]:
        print(
            f"{counts['without file']} are uploads of another collection, and have no file of "
            "their own here: send the pictures to this collection, and they have one."
        )
    if done.left_out:
        print("Left out, since another picture has the path or the external id, among others:")
        print("\n".join(f"  {path}" for path in done.left_out))
    for name in done.other_sets:
        print(
            f"The label set {name} is different here: it stays as it is, and the labels were not "
            "imported."
        )
    space = done.index.space
    print(f"The vectors are of {space.name}: start with the same model.")


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], object]]:
    with tqdm(desc=what, unit=" pictures") as bar:

        def tell(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield tell


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path.expanduser()))  # noqa: PTH100  # keeps links
