"""Draw a running server's answer to one query: `make contact-sheet SEARCH="a green tree"`."""

import io
import json
import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import typer
from PIL import Image, ImageDraw, ImageFont

from app.settings import ROOT, Settings

COLUMNS = 4
SIDE = 256  # pixels of a thumbnail
MARGIN = 12  # pixels
CAPTION = 22  # pixels of height
TITLE = 34  # pixels of height
TIMEOUT_SECONDS = 60
PAPER, INK, GREY = "white", "black", "dimgray"
QUALITY = 85  # JPEG's scale of 0 to 95


def main(
    search: Annotated[str, typer.Option(envvar="SEARCH", help="what the picture shows")],
    limit: Annotated[int, typer.Option(help="how many pictures")] = 8,
    out: Annotated[Path, typer.Option(help="the file to write")] = ROOT / "docs" / "search.jpg",
) -> None:
    """Ask the server and write its thumbnails, names and distances as one picture."""
    address = Settings.load().address
    query = urlencode({"query": search, "limit": limit})
    try:
        hits = json.loads(_fetch(f"{address}/search-by-text?{query}"))
        thumbnails = [_fetch(f"{address}{hit['thumbnail_url']}") for hit in hits]
    except HTTPError as error:
        sys.exit(f"{error.code}: {json.load(error)['detail']}")
    except URLError as error:
        sys.exit(f"No server answers at {address} ({error.reason}). Start it with `make start`.")
    draw_sheet(search, hits, thumbnails).save(out, quality=QUALITY)
    print(f"{out}: {len(hits)} pictures")


def draw_sheet(title: str, hits: list[dict[str, Any]], thumbnails: list[bytes]) -> Image.Image:
    """A grid of `thumbnails`, each with its name and distance, under the query."""
    rows = -(-len(hits) // COLUMNS)
    cell_width, cell_height = SIDE + MARGIN, SIDE + CAPTION + MARGIN
    size = (MARGIN + COLUMNS * cell_width, TITLE + MARGIN + rows * cell_height)
    sheet = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN, MARGIN), f"“{title}”", INK, ImageFont.load_default(20))
    for position, (hit, thumbnail) in enumerate(zip(hits, thumbnails, strict=True)):
        left = MARGIN + position % COLUMNS * cell_width
        top = TITLE + MARGIN + position // COLUMNS * cell_height
        sheet.paste(Image.open(io.BytesIO(thumbnail)).convert("RGB"), (left, top))
        label = f"{Path(hit['path']).name}  {hit['distance']:.3f}"
        pen.text((left, top + SIDE + 3), label, GREY, ImageFont.load_default(13))
    return sheet


def _fetch(url: str) -> bytes:
    with urlopen(url, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310  # always http
        data: bytes = answer.read()
        return data


if __name__ == "__main__":
    typer.run(main)
