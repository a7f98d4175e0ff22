#!/bin/sh
# huggingface_hub 2.4.0: what `local_files_only=True` sends when the file is in the cache.
#
# Guessed before looking: nothing; the option says that only local files are used.
# Seen: each process sends GET /api/agent-harnesses to the hub (HF_ENDPOINT) before it looks into the
# cache, waits up to 3 s for it, and keeps the answer for a day only if it is a success: a mirror that
# knows no such address is asked by every process. It is for naming coding agents in the User-Agent.
# `try_to_load_from_cache` sends nothing, and neither does anything with HF_HUB_OFFLINE=1.
# Here: app/encoders/torch_models/hub_files.py asks the cache by `try_to_load_from_cache`, so a start
# with cached weights stays silent. Tokenizers and sentence models are read by transformers with
# local_files_only=True: only HF_HUB_OFFLINE=1 keeps those from sending (docs/operate.md).
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q huggingface_hub==2.4.0
cat >"$folder/look.py" <<'PYTHON'
import hashlib
import http.server
import os
import subprocess
import sys
import threading

COMMIT, BODY = "0" * 40, b"{}"
CALLS = {
    "first download": "h.hf_hub_download('org/name', 'config.json')",
    "local_files_only": "h.hf_hub_download('org/name', 'config.json', local_files_only=True)",
    "try_to_load_from_cache": "h.try_to_load_from_cache('org/name', 'config.json')",
}
asked: list[str] = []


class Hub(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        asked.append(f"{self.command} {self.path}")
        is_known = self.path.startswith("/org/name/resolve/")
        self.send_response(200 if is_known else 404)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha1(BODY).hexdigest()}"')
        self.send_header("Content-Length", str(len(BODY) if is_known else 0))
        self.end_headers()
        if is_known and self.command == "GET":
            self.wfile.write(BODY)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def sent_by(call: str, **more: str) -> list[str]:
    asked.clear()
    code = f"import huggingface_hub as h; assert {call}.endswith('config.json')"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, **more})
    return list(asked)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ |= {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": sys.argv[1]}
seen = {name: sent_by(call) for name, call in CALLS.items()}
seen["local_files_only, HF_HUB_OFFLINE=1"] = sent_by(CALLS["local_files_only"], HF_HUB_OFFLINE="1")
for name, requests in seen.items():
    print(f"{name}: {', '.join(requests) or 'nothing'}")
first, *rest = seen.values()
sys.exit(not first or rest != [["GET /api/agent-harnesses"], [], []])
PYTHON
"$folder/venv/bin/python" "$folder/look.py" "$folder/home"
