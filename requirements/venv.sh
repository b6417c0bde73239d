#!/bin/sh
# Creates or updates .venv with the versions pinned beside this file. Usage: sh requirements/venv.sh cpu|cuda
set -eu
extra=$1
supported='import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))'

# Prints the newest supported Python on PATH. Each candidate is executed, because a version manager's shim may be first
# on PATH and fail, and Debian's Python may lack the venv module.
newest_python() {
    for name in python3.13 python3.12 python3.11 python3 python; do
        old_ifs=$IFS
        IFS=:
        for folder in $PATH; do
            if [ -x "$folder/$name" ] && "$folder/$name" -c "$supported" >/dev/null 2>&1; then
                echo "$folder/$name"
                return
            fi
        done
        IFS=$old_ifs
    done
}

# Succeeds if .venv can be updated in place.
usable() {
    .venv/bin/python -c "import pip; $supported" >/dev/null 2>&1 || return 1
    for stamp in .venv/installed-*; do
        [ "$stamp" = ".venv/installed-$extra" ] || [ ! -e "$stamp" ] || return 1
    done
}

if ! usable; then
    python=$(newest_python)
    if [ -z "$python" ]; then
        echo "make: found no Python 3.11, 3.12 or 3.13 with the venv module on PATH; install one (Debian, Ubuntu: apt install python3.11-venv)" >&2
        exit 1
    fi
    echo "Creating .venv with $("$python" --version) ($python)"
    "$python" -m venv --clear .venv
fi
echo "Installing TensorFlow ($extra) and the other dependencies into .venv; the first time, this downloads them and takes a minute or more"
.venv/bin/python -m pip install --quiet --disable-pip-version-check -r "requirements/$extra.txt"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
