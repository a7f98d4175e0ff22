"""The program of a process that decodes one JPEG XL from its standard input, and ends.

Run by its path, so that it imports nothing of ours: `memory bytes` and `processor seconds` are its
arguments. It writes a line of JSON and then the bytes that the line gives the lengths of: pixels,
profile, Exif and XMP. Where decoding fails, the line has an `error`.
"""

import json
import resource
import sys

MAX_METADATA_BYTES = 4_000_000  # of a profile, Exif or XMP; more is cut off, and so not understood


def main() -> None:
    """Read, decode, write."""
    memory, seconds = map(int, sys.argv[1:])
    _limit(resource.RLIMIT_DATA, memory)
    _limit(resource.RLIMIT_CPU, seconds)
    import pylibjxl

    metadata: dict[str, bytes] = {}
    try:
        data = sys.stdin.buffer.read()
        if pylibjxl.probe(data)["have_animation"]:  # with metadata, it reads all frames
            pixels = pylibjxl.decode(data)
        else:
            pixels, metadata = pylibjxl.decode(data, metadata=True)
    except Exception as error:  # noqa: BLE001  # whatever the decoder raises is told
        reason = "it needs too much memory" if isinstance(error, MemoryError) else str(error)
        print(json.dumps({"error": reason}))
        return
    found = [metadata.get(name, b"") for name in ("icc", "exif", "xmp")]
    parts = [pixels.tobytes(), *(one[:MAX_METADATA_BYTES] for one in found)]
    line = {"shape": pixels.shape, "lengths": [len(part) for part in parts]}
    print(json.dumps(line), flush=True)
    for part in parts:
        sys.stdout.buffer.write(part)


def _limit(what: int, most: int) -> None:
    """Set a limit of this process, unless it has a lower one already."""
    _, hard = resource.getrlimit(what)
    soft = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (soft, hard))


if __name__ == "__main__":
    main()
