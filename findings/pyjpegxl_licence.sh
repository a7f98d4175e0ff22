#!/bin/sh
# pyjpegxl 0.3.0 declares BSD-3-Clause; the list of parts in its own wheel has two under GPL-3.0-or-later.
#
# Guessed before looking: a package's licence field is that of what its wheel holds. Seen: the wheel links
# jpegxl-rs and jpegxl-sys, which are GPL, as pillow-jxl-plugin does, which says so. libjxl itself is BSD.
# Here: the extra `jxl` takes pylibjxl, which binds libjxl by C++ (docs/decisions.md).
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-deps pyjpegxl==0.3.0
"$folder/venv/bin/python" - <<'PYTHON'
import json
import sys
from importlib.metadata import distribution

package = distribution("pyjpegxl")
lists = [one for one in package.files or [] if "sboms" in one.parts]
parts = [part for one in lists for part in json.loads(one.read_text())["components"]]
licences = {part["name"]: json.dumps(part.get("licenses", [])) for part in parts}
found = sorted(name for name, licence in licences.items() if "GPL-3.0" in licence)
print(f"declared: {package.metadata['License']}; GPL-3.0 parts: {found}")
sys.exit(not (package.metadata["License"] == "BSD-3-Clause" and "jpegxl-rs" in found))
PYTHON
