"""Change a collection's model or index, alone or beside a server: `make reindex`."""

import sys
from dataclasses import replace
from typing import Annotated

import typer

from app.database.tables import Regions, Storage
from app.ingest.jobs.job_control import REINDEXING
from app.ingest.jobs.jobs import Job
from app.runtime.assembly import open_services
from app.runtime.known_collections import KnownCollection
from app.runtime.models import default_model, model_name
from app.runtime.reindexing.changes import Changes
from app.runtime.reindexing.reindexing import Activation
from app.runtime.services import Services
from app.vectors import Arithmetic
from scripts.command_line import by_make, open_settings, run_command, sentences
from scripts.ingest import work_on


def main(
    model: Annotated[
        str,
        typer.Option(
            help=(
                "model@tag, one of IMAGE_SEARCH_COLLECTION_MODELS; by default "
                "IMAGE_SEARCH_CLIP_MODEL"
            )
        ),
    ] = "",
    storage: Annotated[Storage | None, typer.Option(help="how vectors are stored")] = None,
    precision: Annotated[
        Arithmetic | None, typer.Option(help="with a model, by default the settings'")
    ] = None,
    regions: Annotated[
        Regions | None, typer.Option(help="which parts of pictures have vectors too")
    ] = None,
    namespace: Annotated[str, typer.Option(help="of the collection")] = "default",
    collection: Annotated[str, typer.Option(help="whose vectors are built anew")] = "default",
    keep_active: Annotated[
        bool, typer.Option(help="only build it: POST …/activate makes searches use it")
    ] = False,
    dry_run: Annotated[bool, typer.Option(help="only say what it would take")] = False,
    rollback: Annotated[bool, typer.Option(help="go back to the previous vectors")] = False,
) -> None:
    """Build another generation of a collection's vectors, and have searches use it."""
    with sentences("Not reindexed", "The job goes on once a worker runs."):
        settings = open_settings()
        changes = Changes(storage=storage, precision=precision, regions=regions)
        if model or changes == Changes():
            chosen = model_name(model) if model else default_model(settings)
            changes = replace(changes, model=chosen)
        with open_services(settings, to_reindex=True) as services:
            known = services.registry.find(namespace, collection)
            if rollback:
                _print_activation(services.reindexing.roll_back(known))
                return
            job = _work(services, known, changes, dry_run)
            if dry_run:
                _print_estimate(job)
            else:
                _finish(services, known, job, keep_active)


def _work(services: Services, known: KnownCollection, changes: Changes, dry_run: bool) -> Job:
    """Have it built, or estimated."""
    if changes.model is not None:
        services.registry.models.allowed(changes.model)
    model = changes.model_of(known.index)
    if not services.registry.models.has_model(known.index, model):
        services.registry.models.of(model).load()  # else its job would wait for it
    job_id = services.reindexing.submit(known, changes, dry_run=dry_run)
    job = work_on(services, job_id)
    for item in services.job_submission.every(job.id, "failed"):
        print(f"Not embedded: {item.path}: {item.reason}")
    if job.state != "succeeded":
        sys.exit(f"Not reindexed: {job.reason or 'job ' + str(job.id) + ' was cancelled.'}")
    return job


def _print_estimate(job: Job) -> None:
    told = job.source[REINDEXING]["estimate"]
    seconds = "" if told["seconds"] is None else f" in about {told['seconds']:,.0f} s"
    print(
        f"{told['pictures']} pictures, {told['embedded']} to be embedded{seconds}, the others "
        f"copied; about {told['bytes'] / 1e6:,.1f} MB; {job.failed} originals missing. A dry run: "
        "nothing was done."
    )


def _finish(services: Services, known: KnownCollection, job: Job, keep_active: bool) -> None:
    print(f"{job.added} vectors built, {job.failed} originals unreadable.")
    (ready,) = [
        one.generation
        for one in services.reindexing.listed(known)
        if one.generation.job_id == job.id
    ]
    if keep_active:
        print(f"Generation {ready.index.id} is ready.")
        return
    _print_activation(services.reindexing.activate(known, ready.index.id))
    print(f"`{'make reindex ROLLBACK=1' if by_make() else '--rollback'}` goes back.")


def _print_activation(activation: Activation) -> None:
    index = activation.index
    print(f"Searches use generation {index.id} now: {index.space.name}, {index.storage}.")
    if activation.ratings_left:
        print(f"{activation.ratings_left} ratings of queries by pictures stay with the former one.")


if __name__ == "__main__":
    run_command(main)
