"""The containers of videos that may be read, by how their files begin."""

VIDEO_FORMATS = {
    "MP4": ("video/mp4", ".mp4"),
    "MOV": ("video/quicktime", ".mov"),
    "WEBM": ("video/webm", ".webm"),
    "MKV": ("video/x-matroska", ".mkv"),
    "MPEGTS": ("video/mp2t", ".ts"),
}
"""The formats of videos: media type, and suffix of stored files."""

DEMUXERS = {"MP4": "mov", "MOV": "mov", "WEBM": "matroska", "MKV": "matroska", "MPEGTS": "mpegts"}
"""FFmpeg's names: told which one to use, it never tries playlists, which name other files."""

QUICKTIME = b"qt  "
BRANDS = (
    b"iso",
    b"mp4",
    b"avc",
    b"M4V",
    b"3gp",
    b"3g2",
    b"dash",
    b"MSNV",
    b"XAVC",
    b"mmp4",
    b"f4v",
)
EBML = b"\x1a\x45\xdf\xa3"
WEBM = b"webm"
DOCTYPE_BYTES = 64  # of an EBML header, in which the type of document is named
TS_SYNC, TS_PACKETS, TS_CHECKED = 0x47, ((0, 188), (4, 192)), 3  # the second: of Blu-ray and AVCHD


def video_format(head: bytes) -> str | None:
    """The name in VIDEO_FORMATS of a file that begins with `head`; None if it is no video.

    600 bytes are enough.
    """
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        if brand == QUICKTIME:
            return "MOV"
        return "MP4" if brand.startswith(BRANDS) else None
    if head.startswith(EBML):
        return "WEBM" if WEBM in head[:DOCTYPE_BYTES] else "MKV"
    return "MPEGTS" if any(_is_stream(head, *packets) for packets in TS_PACKETS) else None


def _is_stream(head: bytes, first: int, length: int) -> bool:
    """Whether packets of a transport stream follow one another from `first` (ISO 13818-1)."""
    starts = [first + n * length for n in range(TS_CHECKED)]
    return len(head) > starts[-1] and all(head[at] == TS_SYNC for at in starts)
