#!/bin/sh
# What the official image does at its start, as far as compose.yaml asks for it: POSTGRES_USER with POSTGRES_PASSWORD owns POSTGRES_DB,
# and everybody needs the password.
set -eu
bin=$(echo /usr/lib/postgresql/*/bin)
[ "${1:-postgres}" != postgres ] || [ $# = 0 ] || shift

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    secret=$(mktemp)
    printf '%s\n' "$POSTGRES_PASSWORD" >"$secret"
    "$bin/initdb" -D "$PGDATA" --username="$POSTGRES_USER" --pwfile="$secret" --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8
    rm "$secret"
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
    echo "CREATE DATABASE \"$POSTGRES_DB\"" | "$bin/postgres" --single -j -D "$PGDATA" postgres
fi
# Where a tmpfs is mounted on a folder that the image lacks, it belongs to root from the second start on.
sockets=/var/run/postgresql
[ -w "$sockets" ] || sockets=/tmp
exec "$bin/postgres" -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories="$sockets" "$@"
