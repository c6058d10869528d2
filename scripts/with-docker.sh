#!/usr/bin/env bash
# Runs a command with a Docker engine, and with COMPOSE set to the command line of compose: a running engine, else, as root, the
# installed (or newly installed) Debian package's, which ends with the command. --running takes no engine but a running one.
set -euo pipefail

must_run=
if [ "${1:-}" = --running ]; then
    must_run=1
    shift
fi

install() {
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then return 1; fi
    apt-get update -qq
    # The package would start an engine of its own, for good.
    DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

engine_runs() { command -v docker >/dev/null && docker version >/dev/null 2>&1; }

give_up() {
    echo "No Docker engine: $1" >&2
    exit 1
}

stop() { :; }
if ! engine_runs; then
    [ -z "$must_run" ] || give_up "none is running. Start one, as with 'sudo systemctl start docker'."
    [ "$(id -u)" = 0 ] || give_up "none is running, or this user may not use it, and only root can start one."
    command -v dockerd >/dev/null || install docker.io || give_up "none is installed, and Debian's docker.io can't be."
    log=$(mktemp)
    dockerd >"$log" 2>&1 &
    engine=$!
    stop() {
        # One that has ended by itself can't be killed, and one that was killed ends with the signal's code: neither is a fault.
        kill "$engine" 2>/dev/null && wait "$engine" || true
        rm -f "$log"
    }
    trap stop EXIT
    for _ in $(seq 120); do
        if engine_runs || ! kill -0 "$engine" 2>/dev/null; then break; fi
        sleep 0.5
    done
    engine_runs || give_up "dockerd does not start: $(tail -n 1 "$log")"
fi

if docker compose version >/dev/null 2>&1; then
    COMPOSE="docker compose"
else
    command -v docker-compose >/dev/null || install docker-compose || give_up "it has no compose: install the plugin, or Debian's docker-compose."
    COMPOSE=docker-compose
fi
export COMPOSE
# Not exec: an engine that was started here ends after the command.
"$@"
