#!/usr/bin/env bash
# Runs a command that needs nginx and wrk: those of this machine, else, as root, newly installed Debian packages.
set -euo pipefail

missing=()
command -v nginx >/dev/null || missing+=(nginx-light)
command -v wrk >/dev/null || missing+=(wrk)
if [ ${#missing[@]} != 0 ]; then
    if [ "$(id -u)" != 0 ]; then
        echo "Missing: run 'sudo apt-get install ${missing[*]}'." >&2
        exit 1
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null
fi
exec "$@"
