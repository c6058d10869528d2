#!/usr/bin/env bash
# Runs a command with DATABASE_URL set to a PostgreSQL server: the one named by DATABASE_URL, else the one on the default
# port, else a throw-away server of the installed (or, as root, newly installed) Debian package.
set -euo pipefail

reachable() { command -v psql >/dev/null && psql "$1" -qAtc 'select 1' >/dev/null 2>&1; }

for url in ${DATABASE_URL:-} "postgres://postgres@127.0.0.1:5432/postgres"; do
    if reachable "$url"; then
        DATABASE_URL=$url exec "$@"
    fi
done

newest_bin() { find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1; }

bin=$(newest_bin)
if [ -z "$bin" ]; then
    if [ "$(id -u)" != 0 ]; then
        echo "PostgreSQL is needed: run 'sudo apt-get install postgresql', or set DATABASE_URL to a server." >&2
        exit 1
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql >/dev/null
    bin=$(newest_bin)
fi

# The server refuses to run as root, and a CI user may not be able to switch users.
as_server() { if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }

folder=$(mktemp -d)
[ "$(id -u)" = 0 ] && chown postgres "$folder"
stop() {
    as_server "$bin/pg_ctl" -D "$folder/data" -m immediate stop >/dev/null
    rm -rf "$folder"
}
trap stop EXIT

port=$((20000 + RANDOM % 20000))
as_server "$bin/initdb" -D "$folder/data" -U postgres --auth=trust >/dev/null
as_server "$bin/pg_ctl" -D "$folder/data" -w -l "$folder/log" \
    -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$folder -c max_connections=200" start >/dev/null
DATABASE_URL="postgres://postgres@127.0.0.1:$port/postgres" "$@"
