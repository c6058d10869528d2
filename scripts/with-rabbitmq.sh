#!/usr/bin/env bash
# Runs a command with RABBITMQ_URL set to a RabbitMQ server: the one named by RABBITMQ_URL, else the one on the default port, else
# a throw-away server of the installed (or, as root, newly installed) Debian package, else one in docker.
set -euo pipefail

reachable() { timeout 5 bash -c ': <"/dev/tcp/127.0.0.1/$0"' "$1" 2>/dev/null; }

if [ -n "${RABBITMQ_URL:-}" ]; then
    exec "$@"
fi
if reachable 5672; then
    RABBITMQ_URL=amqp://guest:guest@127.0.0.1:5672 exec "$@"
fi

installed() { [ -x /usr/sbin/rabbitmq-server ] || [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ]; }

if ! installed && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq
    # The package would start a server of its own, for good.
    DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq rabbitmq-server >/dev/null
fi

port=$((20000 + RANDOM % 10000))
if installed; then
    folder=$(mktemp -d)
    export RABBITMQ_NODENAME="tandem-$port@localhost" RABBITMQ_NODE_PORT=$port RABBITMQ_DIST_PORT=$((port + 10000))
    export RABBITMQ_MNESIA_BASE="$folder/data" RABBITMQ_LOG_BASE="$folder/log" RABBITMQ_PID_FILE="$folder/pid"
    export RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 RABBITMQ_CONFIG_FILE="$folder/none" RABBITMQ_ENABLED_PLUGINS_FILE="$folder/plugins"
    # The wrapper in /usr/sbin would switch to another user, who has no right to the folder.
    HOME=$folder /usr/lib/rabbitmq/bin/rabbitmq-server >"$folder/out" 2>&1 &
    server=$!
    # shellcheck disable=SC2329 # the trap below calls it
    stop() {
        # One that has ended by itself can't be killed, and one that was killed ends with the signal's code: neither is a fault.
        kill "$server" 2>/dev/null && wait "$server" || true
        rm -rf "$folder"
    }
elif command -v docker >/dev/null; then
    container=$(docker run --rm --detach --publish "127.0.0.1:$port:5672" rabbitmq:4)
    # shellcheck disable=SC2329 # the trap below calls it
    stop() { docker stop "$container" >/dev/null; }
else
    echo "RabbitMQ is needed: run 'sudo apt-get install rabbitmq-server', or set RABBITMQ_URL to a server." >&2
    exit 1
fi
trap stop EXIT

# A port that docker forwards is open before the server listens; one that answers AMQP's greeting is ready.
ready() { timeout 2 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$0" && printf "AMQP\0\0\x9\1" >&3 && head -c 1 <&3' "$1" 2>/dev/null | grep -q .; }
for _ in $(seq 120); do
    if ready "$port" || ready "$port"; then
        RABBITMQ_URL="amqp://guest:guest@127.0.0.1:$port" "$@"
        exit
    fi
    sleep 0.5
done
echo "RabbitMQ did not start at port $port." >&2
[ -z "${folder:-}" ] || cat "$folder/out" >&2
exit 1
