#!/usr/bin/env bash
# Runs a command with the base images of compose.yaml and the Dockerfile at hand: pulled, else made from Debian packages, and then
# named by RUNTIME_IMAGE, POSTGRES_IMAGE and RABBITMQ_IMAGE. What these variables or .env name already is left alone.
set -euo pipefail
cd "$(dirname "$0")/.."

# The name that a file of ours has for a base image.
default_of() { grep -ohE "\b$1(=|:-)[^}]+" infra/docker/Dockerfile compose.yaml | head -n 1 | sed -E "s/^$1(=|:-)//"; }

# Whether somebody wants another image than we would take.
is_chosen() {
    local image=${!1:-}
    if [ -z "$image" ] && [ -e .env ]; then image=$(sed -n "s/^$1=//p" .env); fi
    [ -n "$image" ] && [[ "$image" != tandem-airgapped/* ]]
}

is_there() { docker image inspect "$1" >/dev/null 2>&1 || docker pull --quiet "$1" >/dev/null 2>&1; }

missing=
for base in RUNTIME_IMAGE POSTGRES_IMAGE RABBITMQ_IMAGE; do
    is_chosen "$base" || is_there "$(default_of "$base")" || missing=1
done
if [ -n "$missing" ]; then
    echo "Base images can't be pulled: Debian packages take their place." >&2
    infra/docker/airgapped/build.sh
    while IFS='=' read -r base image; do
        is_chosen "$base" || export "$base=$image"
    done < <(grep -v '^#' infra/docker/airgapped/images.env)
fi
exec "$@"
