#!/usr/bin/env bash
# Builds the images of the services: images.sh [FOLDER]. With FOLDER they get the binaries that are there; else they are compiled in
# the Rust image, or, where that can't be pulled, by this machine's cargo. TAG (latest) and REGISTRY (tandem) name them.
set -euo pipefail
cd "$(dirname "$0")/.."

services=(gateway orchestrator worker tandem simulator)
binaries=("${services[@]}" probe)
registry=${REGISTRY:-tandem}
tag=${TAG:-latest}
folder=${1:-}

# BuildKit: by its plugin, or in a client from before 23, such as Debian 12's, by itself.
build() {
    local client
    if docker buildx version >/dev/null 2>&1; then
        docker buildx build --load "$@"
        return
    fi
    for client in docker /usr/bin/docker; do
        if [ "$("$client" version --format '{{.Client.Version}}' 2>/dev/null | cut -d. -f1)" -lt 23 ] 2>/dev/null; then
            DOCKER_BUILDKIT=1 "$client" build "$@"
            return
        fi
    done
    echo "BuildKit is needed: install the buildx plugin, or Debian's docker.io." >&2
    return 1
}

rust_image=$(sed -n 's/^ARG RUST_IMAGE=//p' infra/docker/Dockerfile)
if [ -z "$folder" ] && ! docker image inspect "$rust_image" >/dev/null 2>&1 && ! docker pull --quiet "$rust_image" >/dev/null 2>&1; then
    echo "The Rust image can't be pulled: this machine's cargo compiles." >&2
    auditable=$(sed -n 's/^RUN cargo install --locked //p' infra/docker/Dockerfile)
    command -v cargo-auditable >/dev/null || cargo install --locked --quiet "$auditable"
    mapfile -t flags < <(printf -- '--bin\n%s\n' "${binaries[@]}")
    cargo auditable build --release --locked "${flags[@]}"
    folder=${CARGO_TARGET_DIR:-target}/release
fi

context=.
arguments=()
if [ -n "$folder" ]; then
    context=$(mktemp -d)
    trap 'rm -rf "$context"' EXIT
    mkdir "$context/bin"
    for binary in "${binaries[@]}"; do
        strip --strip-all -o "$context/bin/$binary" "$folder/$binary"
    done
    cp "$(gcc -print-file-name=libgcc_s.so.1)" "$context/bin"
    arguments+=(--build-arg BINARIES=prebuilt)
fi
if [ -n "${RUNTIME_IMAGE:-}" ]; then arguments+=(--build-arg "RUNTIME_IMAGE=$RUNTIME_IMAGE"); fi
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)

for service in "${services[@]}"; do
    build --quiet --file infra/docker/Dockerfile --target "$service" "${arguments[@]}" \
        --build-arg "VERSION=$version" --build-arg "REVISION=$revision" --tag "$registry/$service:$tag" "$context" >/dev/null
    size=$(docker image inspect --format '{{.Size}}' "$registry/$service:$tag")
    echo "$registry/$service:$tag $((size / 1000000)) MB"
    # Debug builds are for tests. What is shipped has a size that a cold start can pay for.
    if [ "$size" -gt 60000000 ] && [[ "$folder" != */debug ]]; then
        echo "$registry/$service:$tag has more than 60 MB" >&2
        exit 1
    fi
done
