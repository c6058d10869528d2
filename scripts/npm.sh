#!/usr/bin/env bash
# Installs the pinned packages of a folder, and Node itself where there is none: npm.sh FOLDER
set -euo pipefail
if ! command -v npm >/dev/null; then
    as_root=""
    [ "$(id -u)" -eq 0 ] || as_root="sudo"
    $as_root apt-get update -q
    $as_root apt-get install -qy nodejs npm
fi
cd "$1"
npm ci --no-audit --no-fund --silent
