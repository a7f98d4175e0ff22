#!/bin/sh
# Files in OpenAPI 3.1: openapi-python-client 0.29.1 takes `contentMediaType: application/octet-stream`, which is how
# 3.1 describes them and how FastAPI writes them, for text, and only `format: binary`, which is of 3.0, for a file.
#
# Guessed before looking: a generator that supports 3.1 makes a file of the former. Seen: it makes `list[str]` of it,
# without a warning, and `list[File]` of `format: binary`; its client of the former sends text fields, which FastAPI
# answers with 422. @hey-api/openapi-ts 0.95.0 makes `Array<Blob | File>` of both, openapi-typescript 7.13.0
# `string[]` of both.
# Here: the document says `format: binary` everywhere, and `make test-clients` uploads with the clients of all three.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 - <<'PYTHON'
import json

for name, item in [("media", {"contentMediaType": "application/octet-stream"}), ("format", {"format": "binary"})]:
    form = {
        "type": "object",
        "required": ["files"],
        "properties": {"files": {"type": "array", "items": {"type": "string"} | item}},
    }
    operation = {
        "operationId": "send",
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": {"$ref": "#/components/schemas/Form"}}}},
        "responses": {"204": {"description": "Done"}},
    }
    document = {
        "openapi": "3.1.0",
        "info": {"title": name, "version": "1"},
        "paths": {"/send": {"post": operation}},
        "components": {"schemas": {"Form": form}},
    }
    with open(f"{name}.json", "w") as file:
        json.dump(document, file)
PYTHON
python3 -m venv venv
PATH=$folder/venv/bin:$PATH
pip install -q openapi-python-client==0.29.1
npm install --silent --no-audit --no-fund openapi-typescript@7.13.0 @hey-api/openapi-ts@0.95.0 typescript@5.9.3
for name in media format; do
  openapi-python-client generate --path "$name.json" --meta none --output-path "py_$name" >"py_$name.log" 2>&1
  npx openapi-typescript "$name.json" -o "ts_$name.ts" >/dev/null 2>&1
  npx openapi-ts -i "$name.json" -o "hey_$name" >/dev/null 2>&1
  if grep -i warning "py_$name.log"; then exit 1; fi
  grep -hE "^ +files: [A-Za-z]+(\[|<)" "py_$name"/models/*.py "ts_$name.ts" "hey_$name/types.gen.ts" |
    tr -d ' ;' | sort | sed "s/^/$name /" | tee -a seen
done
cat >expected <<'TEXT'
media files:Array<Blob|File>
media files:list[str]
media files:string[]
format files:Array<Blob|File>
format files:list[File]
format files:string[]
TEXT
diff expected seen
