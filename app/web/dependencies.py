"""What routes are given: the services of the application, and the picture in a request."""

from typing import Annotated
from urllib.parse import quote, unquote_to_bytes

from fastapi import Depends, Query, Request, Response
from starlette.datastructures import UploadFile

from app.collections import DEFAULT_NAME, DEFAULT_NAMESPACE
from app.cursors import Cursors
from app.errors import QueryRejected, UploadRejected
from app.gallery import Gallery
from app.intake import Intake
from app.library import Library, OpenCollection
from app.search import Search
from app.uploads import Uploads
from app.web.payloads import Name


def _search(request: Request) -> Search:
    service: Search = request.app.state.services.search
    return service


def _uploads(request: Request) -> Uploads:
    service: Uploads = request.app.state.services.uploads
    return service


def _gallery(request: Request) -> Gallery:
    service: Gallery = request.app.state.services.gallery
    return service


def _intake(request: Request) -> Intake:
    service: Intake = request.app.state.services.intake
    return service


def _library(request: Request) -> Library:
    service: Library = request.app.state.services.library
    return service


def _cursors(request: Request) -> Cursors:
    service: Cursors = request.app.state.services.cursors
    return service


def name_model(request: Request, response: Response) -> None:
    """Say in a header which model answers: `demo model` is never mistaken for a real one."""
    response.headers["X-Model"] = quote(request.app.state.services.model_name, safe=" /:-")


def require_utf8(request: Request) -> None:
    """Refuse an address whose percent signs are no UTF-8: it would be searched for as �.

    Raises QueryRejected.
    """
    try:
        unquote_to_bytes(request.scope["query_string"]).decode()
    except UnicodeDecodeError as error:
        raise QueryRejected("The query is not valid UTF-8: encode it as such.") from error


async def _sent_picture(request: Request) -> bytes:
    """The multipart field `file`, or else the whole body."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        data = await request.body()
    else:
        data = await _sent_file(request)
    if not data:
        raise UploadRejected("Send a picture: as multipart field `file`, or as the body itself.")
    return data


async def _sent_file(request: Request) -> bytes:
    try:
        async with request.form() as form:
            file = form.get("file")
            return await file.read() if isinstance(file, UploadFile) else b""
    except UnicodeError as error:  # the client names a charset that its form does not keep to
        raise UploadRejected("The form is not in the charset that it names.") from error


SearchService = Annotated[Search, Depends(_search)]
UploadService = Annotated[Uploads, Depends(_uploads)]
IntakeService = Annotated[Intake, Depends(_intake)]
LibraryService = Annotated[Library, Depends(_library)]
CursorService = Annotated[Cursors, Depends(_cursors)]
GalleryService = Annotated[Gallery, Depends(_gallery)]
SentPicture = Annotated[bytes, Depends(_sent_picture)]
NamedModel = Depends(name_model)
Utf8 = Depends(require_utf8)
InNamespace = Annotated[Name, Query(description="of the collection")]


def _in_collection(
    library: LibraryService,
    namespace: InNamespace = DEFAULT_NAMESPACE,
    collection: Annotated[Name, Query(description="the collection's name")] = DEFAULT_NAME,
) -> OpenCollection:
    return library.open(namespace, collection)


InCollection = Annotated[OpenCollection, Depends(_in_collection)]
