#!/usr/bin/env bash
# Makes a Python environment with the packages of a requirements file, unless it is there already: venv.sh FOLDER REQUIREMENTS
set -euo pipefail

if cmp -s "$2" "$1/requirements.txt"; then
    exit
fi
if ! python3 -m venv "$1" 2>/dev/null; then
    if [ "$(id -u)" != 0 ]; then
        echo "Python's venv is needed: run 'sudo apt-get install python3-venv'." >&2
        exit 1
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null
    python3 -m venv "$1"
fi
"$1/bin/pip" install --quiet --requirement "$2"
cp "$2" "$1/requirements.txt"
