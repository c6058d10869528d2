#!/usr/bin/env bash
# Runs a command that needs libfaketime: that of this machine, else, as root, the newly installed Debian package.
set -euo pipefail

if ! compgen -G '/usr/lib/*/faketime/libfaketime.so.1' >/dev/null; then
    if [ "$(id -u)" != 0 ]; then
        echo "libfaketime is missing: run 'sudo apt-get install faketime'." >&2
        exit 1
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq faketime >/dev/null
fi
exec "$@"
