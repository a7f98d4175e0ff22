"""What files say of a picture: captions, keywords, names, places and times, whatever the format."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta, timezone, tzinfo

MAX_CAPTION_CHARACTERS = 2_000
MAX_NAME_CHARACTERS = 200  # of a tag, person, place, camera or the like; longer ones are cut
MAX_TAGS = 100
MAX_PEOPLE = 50
MAX_NAMES_CHARACTERS = 3_500  # of all tags, or all people, of a picture
REJECTED, BEST = -1, 5  # the range of ratings; 0 is none
YEARS = range(1800, 9999)  # from before photography; in 9999 a time zone offset overflows
ORIGINAL, DIGITIZED, CHANGED = range(3)
"""What a time tells: when the picture was taken, when it was digitized, when the file changed."""

LONGEST_OFFSET = timedelta(hours=14)
QUARTERS = {timedelta(hours=5, minutes=45), timedelta(hours=8, minutes=45)}
QUARTERS |= {timedelta(hours=12, minutes=45), timedelta(hours=13, minutes=45)}
"""The offsets from UTC that are no whole or half hours: Nepal, Eucla and Chatham."""

FIX_TOLERANCE = timedelta(minutes=3)  # between a clock and a position that was fixed shortly before

NO_CAPTION = re.compile(
    r"[\W_]*|sony dsc|dcim|dsc|untitled|default|samsung|minolta dsc|digital image"
    r"|exif_?jpeg[_a-z0-9 ]*|<(kenox|digimax).*>|binary comment|user comments?"
    r"|(charset=)?\W?ascii\W*|[a-z ]{0,40}digital (still )?camera",
    re.IGNORECASE,
)
"""What cameras write into each picture, and what is no word at all."""


@dataclass(frozen=True)
class Taken:
    """When a picture was taken; at least one of both is known.

    `local` is by the clock of the place, without a time zone; `instant` is in UTC. `kind` is
    ORIGINAL, DIGITIZED or CHANGED.
    """

    local: datetime | None = None
    instant: datetime | None = None
    kind: int = ORIGINAL

    def at(self, zone: tzinfo = UTC) -> datetime:
        """With the offset of the place; that of `zone` where it is not known."""
        if self.local is None or self.instant is None:
            known = self.local or (self.instant or datetime.max).astimezone(zone)
            offset = (known if self.local is None else known.replace(tzinfo=zone)).utcoffset()
            minutes = round((offset or timedelta()) / timedelta(minutes=1))  # of 1890: with seconds
            return known.replace(tzinfo=timezone(timedelta(minutes=minutes)))
        offset = self.local - self.instant.replace(tzinfo=None)
        return self.local.replace(tzinfo=timezone(offset))

    def completed(self, other: "Taken") -> "Taken":
        """With what it lacks from another, if that tells the same moment."""
        if self.local is None and other.local is not None and self.instant is not None:
            if other.instant in {None, self.instant} and offset_of(other.local, self.instant):
                return replace(self, local=other.local)
        elif self.instant is None and other.instant is not None and self.local == other.local:
            return replace(self, instant=other.instant)
        return self


def zoned(local: datetime, offset: timedelta | None, kind: int = ORIGINAL) -> Taken:
    """A local time, at an offset from UTC if that is known."""
    instant = None if offset is None else (local - offset).replace(tzinfo=UTC)
    return Taken(local, instant, kind)


def offset_of(
    local: datetime, instant: datetime, tolerance: timedelta = timedelta()
) -> timezone | None:
    """The time zone whose clock shows `local` at that instant; None if there is none."""
    difference = local - instant.astimezone(UTC).replace(tzinfo=None)
    offset = timedelta(minutes=15) * round(difference / timedelta(minutes=15))
    is_used = offset % timedelta(minutes=30) == timedelta() or offset in QUARTERS
    if not is_used or abs(difference - offset) > tolerance or abs(offset) > LONGEST_OFFSET:
        return None
    return timezone(offset)


def best_time(found: Iterable[Taken | None]) -> Taken | None:
    """The first of the best kind, completed by the others."""
    times = [one for one in found if one is not None]
    if not times:
        return None
    best = min(times, key=lambda one: one.kind)
    for other in times:
        best = best.completed(other)
    return best


@dataclass(frozen=True)
class Description:
    """What one source says of a picture; None or empty where it says nothing.

    `rating` is from REJECTED to BEST. `position` is (latitude, longitude) in degrees, positive to
    the north and east. `burst` is what the pictures of a burst have in common. All texts are
    clean: without control characters, and bounded.
    """

    caption: str | None = None
    title: str | None = None
    tags: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    rating: float | None = None
    label: str | None = None
    city: str | None = None
    state: str | None = None
    country: str | None = None
    creator: str | None = None
    copyright: str | None = None
    camera: str | None = None
    lens: str | None = None
    album: str | None = None
    burst: str | None = None
    taken: Taken | None = None
    position: tuple[float, float] | None = None

    def over(self, other: "Description") -> "Description":
        """Both merged; this one takes precedence, in each field as a whole."""
        ours = {one.name: getattr(self, one.name) for one in fields(self)}
        found = {name: value for name, value in ours.items() if value not in {None, ()}}
        times = best_time((self.taken, other.taken))
        return replace(other, **found | {"taken": times})


def one_line(text: str, limit: int = MAX_NAME_CHARACTERS) -> str | None:
    """Printable text with single spaces: Postgres refuses NUL and lone surrogates."""
    start = text.partition("\0")[0][: 2 * limit]  # after the end of a C string is leftover memory
    printable = "".join(c if c.isprintable() else " " for c in start)
    return " ".join(printable.split())[:limit].strip() or None


def caption_of(text: str) -> str | None:
    """A caption, its lines kept; None for what cameras write into each picture."""
    lines = text.partition("\0")[0][: 2 * MAX_CAPTION_CHARACTERS].splitlines()
    clean = "\n".join(one_line(line, MAX_CAPTION_CHARACTERS) or "" for line in lines).strip()
    return None if NO_CAPTION.fullmatch(clean) else clean[:MAX_CAPTION_CHARACTERS].strip()


def distinct(names: Iterable[str], limit: int = MAX_TAGS) -> tuple[str, ...]:
    """Clean names in their order, without repetitions that differ only in case."""
    found: dict[str, str] = {}
    left = MAX_NAMES_CHARACTERS
    for name in names:
        clean = one_line(name)
        if clean and len(clean) <= left and len(found) < limit and clean.casefold() not in found:
            found[clean.casefold()] = clean
            left -= len(clean)
    return tuple(found.values())


def joined(names: Iterable[str]) -> str | None:
    """Several names as one text."""
    return one_line(", ".join(distinct(names)))


def rated(value: float) -> float | None:
    """A rating if it is one: whole numbers as such."""
    if not REJECTED <= value <= BEST:
        return None
    return int(value) if value == int(value) else value


def camera_name(make: str | None, model: str | None) -> str | None:
    """Make and model, or the model alone if it repeats the make's first word.

    "NIKON CORPORATION" and "NIKON D40" give "NIKON D40".
    """
    brand = (make or "").partition(" ")[0].casefold()
    repeats = (model or "").casefold().startswith(brand)
    return model if model and repeats else one_line(f"{make or ''} {model or ''}")
