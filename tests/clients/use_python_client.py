"""Upload, search, page and rate with the client of openapi-python-client: ADDRESS PICTURE…"""

import io
import sys
from pathlib import Path

from image_search_client import Client
from image_search_client.api.feedback import create_feedback
from image_search_client.api.flat import upload
from image_search_client.api.images import get_image_file, list_images, upload_images
from image_search_client.api.search import search
from image_search_client.models import (
    BodyUpload,
    BodyUploadImages,
    FeedbackCreate,
    SearchRequest,
)
from image_search_client.types import File


def main(address: str, *pictures: str) -> None:
    """Raises AssertionError where an answer is not as it should be."""
    client = Client(base_url=address, raise_on_unexpected_status=True)
    files = [
        File(io.BytesIO(Path(picture).read_bytes()), Path(picture).name) for picture in pictures
    ]
    body = BodyUploadImages(file=files, caption="sent by a generated client")
    stored = upload_images.sync("default", client=client, body=body).data
    assert [one.status for one in stored] == ["stored"] * len(pictures), stored
    again = File(io.BytesIO(Path(pictures[0]).read_bytes()), "again.jpg")
    (known,) = upload.sync(client=client, body=BodyUpload(file=[again]))
    assert (known.status, known.id) == ("duplicate", stored[0].image.id)

    first = search.sync(client=client, body=SearchRequest(query="a green tree", limit=1))
    # The client sends the defaults of what is left out, so a cursor does not go alone.
    more = SearchRequest(query="a green tree", limit=1, cursor=first.next_cursor)
    following = search.sync(client=client, body=more)
    assert first.hits[0].id != following.hits[0].id
    rating = FeedbackCreate(token=first.token, rating=9, image_id=first.hits[0].id)
    assert create_feedback.sync(client=client, body=rating).rating == 9

    page, listed = list_images.sync(client=client, limit=1), []
    while True:
        listed += [image.id for image in page.data]
        if page.next_cursor is None:
            break
        page = list_images.sync(client=client, limit=1, cursor=page.next_cursor)
    assert listed == sorted(one.image.id for one in stored)
    original = get_image_file.sync(stored[0].image.id, client=client)
    assert original.payload.read() == Path(pictures[0]).read_bytes()


if __name__ == "__main__":
    main(*sys.argv[1:])
