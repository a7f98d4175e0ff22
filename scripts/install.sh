#!/bin/sh
# Create or refresh the virtual environment $1 from the lock $2, by default requirements.lock and
# with the command picture-search. With a pyproject.toml as $3, only what that program needs is
# installed, with the extras named in EXTRAS, and not what its developers use.
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

install() { "$uv" pip install --quiet --python "$venv/bin/python" "$@"; }
locked() { sed -n "s/^\(\($1\)==[^ ]*\).*/\1/p" "$lock"; }

excluded=$venv/excluded.txt
: >"$excluded"
if [ -n "${TORCH_BACKEND:-}" ]; then
    # That index's files have hashes of their own, so torch comes first, by version alone, and
    # without the lock's CUDA packages.
    # shellcheck disable=SC2046  # one word a package
    install --no-deps --torch-backend "$TORCH_BACKEND" $(locked 'torch\|torchvision') || {
        echo "TORCH_BACKEND=$TORCH_BACKEND needs an index of torch's own builds: see above what" \
            "failed there. Without TORCH_BACKEND the build with CUDA comes from where all else does." >&2
        exit 1
    }
    locked '\(nvidia\|cuda\)-[a-z0-9-]*\|triton' | sed 's/==.*//' >"$excluded"
fi
if [ $# -gt 2 ]; then
    # shellcheck disable=SC2046  # an option for each extra
    install --compile-bytecode --excludes "$excluded" --constraints "$lock" --requirements "$3" \
        $(printf '%s\n' ${EXTRAS:-} | sed '/./s/^/--extra=/')
else
    install --compile-bytecode --excludes "$excluded" --requirements "$lock"
fi
[ $# -gt 1 ] ||
    install --no-deps --no-build-isolation --editable .
