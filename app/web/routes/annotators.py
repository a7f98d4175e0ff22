"""Annotators: how far a collection's have come, and what they found in a picture."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from app.runtime.annotating.annotator import AnnotatorName
from app.web.callers import ImageId
from app.web.dependencies import AnnotatorService, CoverageService, GalleryService, Utf8Query
from app.web.middleware.guarded_route import Guarded, needs
from app.web.payloads.annotators import (
    AnnotatorBackfill,
    AnnotatorDetails,
    AnnotatorList,
    CoverageDetails,
    CoverageList,
    ImageTexts,
)
from app.web.problems.problems import problem_responses
from app.web.routes.collections import Found

router = APIRouter(
    prefix="/api/v1", tags=["annotators"], dependencies=[Utf8Query], route_class=Guarded
)


@router.get("/collections/{name}/annotators", responses=problem_responses(404, 422, 503))
@needs("reader")
def list_annotators(found: Found, annotators: AnnotatorService) -> AnnotatorList:
    """The annotators that are on for a collection, and how many pictures each has looked at."""
    return AnnotatorList(data=[AnnotatorDetails.of(one) for one in annotators.listed(found)])


@router.post(
    "/collections/{name}/annotators/{annotator}/backfill",
    summary="Look at what was not yet",
    responses=problem_responses(404, 422, 503),
)
@needs("admin")
def backfill_annotator(
    found: Found,
    annotators: AnnotatorService,
    annotator: Annotated[AnnotatorName, Path(description="its name", examples=["text"])],
    dry_run: Annotated[
        bool, Query(description="only count them; the annotator may be off, too")
    ] = False,
) -> AnnotatorBackfill:
    """Have a job look at all pictures that an annotator has not looked at, or has failed on.

    Turning it on does the same; so does each new version of it for what has become stale.
    """
    done = annotators.backfill(found, annotator, dry_run=dry_run)
    return AnnotatorBackfill(pictures=done.pictures, job_id=done.job_id)


@router.get("/collections/{name}/coverage", responses=problem_responses(404, 422, 503))
@needs("reader")
def get_coverage(found: Found, coverage: CoverageService) -> CoverageList:
    """How many of its pictures each annotator and label set of a collection has done."""
    return CoverageList(data=[CoverageDetails(**vars(one)) for one in coverage.of(found)])


@router.get("/images/{image_id}/texts", responses=problem_responses(404, 422, 503))
@needs("reader")
def get_image_texts(
    gallery: GalleryService, annotators: AnnotatorService, image_id: ImageId
) -> ImageTexts:
    """The lines of text that were read in a picture, with their places."""
    gallery.get(image_id)
    return ImageTexts.of(annotators.texts(image_id))
