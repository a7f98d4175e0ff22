"""Names the kinds of TIFF that Pillow does not read, so that they are not taken for damaged."""

from typing import IO

from PIL.TiffTags import TAGS_V2

from app.pictures.tiff_tags import Tag, TiffReader, open_tiff

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
STRIPS, SAMPLES, STRIP_BYTES, COLORS = 273, 277, 279, 320
TILES, TILE_BYTES, EXTRA_SAMPLES, SAMPLE_FORMAT = 324, 325, 338, 339
PALETTE = 3
MAX_SAMPLES = 1_000  # of a pixel; pictures of many wavelengths have hundreds
PIXEL_PLACES = ((STRIPS, STRIP_BYTES), (TILES, TILE_BYTES))
FORMATS = {1: "unsigned", 2: "signed", 3: "floating-point", 5: "complex", 6: "complex"}
ALPHA = {1: "associated alpha", 2: "alpha"}
Tags = dict[int, Tag]


def unread_kind(file: IO[bytes]) -> str | None:
    """What an undamaged TIFF holds: "3 × 32-bit floating-point, RGB"; None for any other file."""
    file.seek(0)
    opened = open_tiff(file)
    if opened is None:
        return None
    reader, start = opened
    tags = reader.directory(start)
    return _described(reader, tags) if _is_whole(reader, tags) else None


def _is_whole(reader: TiffReader, tags: Tags) -> bool:
    """Whether the picture's size, pixels and colors are all in the file."""
    sides = [reader.integers(tags.get(tag))[:1] for tag in (WIDTH, HEIGHT)]
    if (0,) in sides or () in sides or _first(reader, tags, SAMPLES) > MAX_SAMPLES:
        return False
    if _first(reader, tags, PHOTOMETRIC) == PALETTE and COLORS not in tags:
        return False
    length = reader.file.seek(0, 2)
    for places, sizes in PIXEL_PLACES:
        offsets, counts = reader.integers(tags.get(places)), reader.integers(tags.get(sizes))
        if offsets and len(offsets) == len(counts):
            ends = (offset + count for offset, count in zip(offsets, counts, strict=True))
            return max(ends) <= length and min(counts) > 0
    return False


def _described(reader: TiffReader, tags: Tags) -> str:
    samples = _first(reader, tags, SAMPLES)
    form = FORMATS.get(_first(reader, tags, SAMPLE_FORMAT), "unknown")
    parts = [f"{samples} × {_first(reader, tags, BITS)}-bit {form}"]
    parts.append(_name(PHOTOMETRIC, _first(reader, tags, PHOTOMETRIC)))
    parts += [ALPHA[one] for one in reader.integers(tags.get(EXTRA_SAMPLES)) if one in ALPHA]
    if (compression := _first(reader, tags, COMPRESSION)) != 1:
        parts.append(f"compression {_name(COMPRESSION, compression)}")
    return ", ".join(parts)


def _first(reader: TiffReader, tags: Tags, number: int) -> int:
    """A tag's first value; 1, the default of all that are asked for, if it is missing."""
    return next(iter(reader.integers(tags.get(number))), 1)


def _name(tag: int, value: int) -> str:
    names = {number: name for name, number in TAGS_V2[tag].enum.items()}
    return names.get(value, str(value))
