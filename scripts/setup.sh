#!/bin/sh
# Makes the virtual environment given as $1 with the pinned requirements of $2 and this package in it.
# Uses uv where it is there, else Python's own venv and pip.
set -eu
venv=$1
requirements=$2

python=""
for candidate in python3.11 python3.12 python3.13 python3; do
    if command -v "$candidate" >/dev/null 2>&1 &&
        "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; then
        python=$(command -v "$candidate")
        break
    fi
done
if [ -z "$python" ]; then
    echo "corpusmill needs Python 3.11, 3.12 or 3.13, and none is on PATH. On Debian: apt-get install python3" >&2
    exit 2
fi

if command -v uv >/dev/null 2>&1; then
    echo "setting up $venv with uv"
    uv venv --quiet --allow-existing --seed --python "$python" "$venv"
    uv pip sync --quiet --require-hashes --python "$venv/bin/python" "$requirements"
    uv pip install --quiet --no-deps --python "$venv/bin/python" -e .
    exit 0
fi

if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    # Debian keeps it in a package of its own.
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        echo "installing python$version-venv"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -qq -y "python$version-venv" >/dev/null
    else
        echo "$python has no venv module. Install it (Debian: apt-get install python3-venv), or install uv." >&2
        exit 2
    fi
fi
echo "setting up $venv with pip (this takes some minutes)"
"$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --use-pep517 --require-hashes -r "$requirements"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -e .
