#!/bin/sh
# Create or refresh the virtual environment $1 from the lock $2, by default requirements.lock and
# with the command image-search.
# TORCH_BACKEND=cpu (or cu128, rocm6.4, …: uv's --torch-backend) takes that build of torch
# instead of the one with CUDA's gigabytes.
set -eu
venv=$1
lock=${2:-requirements.lock}
uv=$venv/bin/uv
uv_version=0.13.9 # pinned: another version may spell the same lock otherwise

python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "Python 3.11 or newer is needed; python3 here is $(python3 --version)." >&2
    exit 1
}
echo "Installing the pinned dependencies into $venv …"
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$uv" --version 2>/dev/null | grep -q "^uv $uv_version " ||
    "$venv/bin/python" -m pip install --quiet "uv==$uv_version"

locked() { sed -n "s/^\(\($1\)==[^ ]*\).*/\1/p" "$lock"; }

excluded=$venv/excluded.txt
: >"$excluded"
if [ -n "${TORCH_BACKEND:-}" ]; then
    # That index's files have hashes of their own, so torch comes first, by version alone, and
    # without the lock's CUDA packages.
    # shellcheck disable=SC2046  # one word a package
    "$uv" pip install --quiet --python "$venv/bin/python" --no-deps \
        --torch-backend "$TORCH_BACKEND" $(locked 'torch\|torchvision')
    locked '\(nvidia\|cuda\)-[a-z0-9-]*\|triton' | sed 's/==.*//' >"$excluded"
fi
"$uv" pip install --quiet --python "$venv/bin/python" --compile-bytecode \
    --excludes "$excluded" --requirements "$lock"
[ $# -gt 1 ] ||
    "$uv" pip install --quiet --python "$venv/bin/python" --no-deps --editable .
