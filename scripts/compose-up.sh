#!/usr/bin/env bash
# Starts compose.yaml and says how to ask it. Makes .env of .env.example where there is none, and images where there are none.
set -euo pipefail
cd "$(dirname "$0")/.."

[ -e .env ] || cp .env.example .env
# So that compose by hand finds the bases that stand in for others.
for base in POSTGRES_IMAGE RABBITMQ_IMAGE; do
    if [ -n "${!base:-}" ] && ! grep -q "^$base=" .env; then echo "$base=${!base}" >>.env; fi
done
docker image inspect "${REGISTRY:-tandem}/gateway:${TAG:-latest}" >/dev/null 2>&1 || scripts/images.sh
$COMPOSE up --detach
port=$(sed -n 's/^GATEWAY_1_PORT=//p' .env)
echo "http://127.0.0.1:${GATEWAY_1_PORT:-${port:-8080}} answers soon. A key: $COMPOSE run --rm tandem keys create my-team"
