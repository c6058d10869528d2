#!/usr/bin/env bash
# Writes what is in each image, as SPDX, to target/sbom: sbom.sh. Crates are found in binaries that were built with cargo-auditable, as
# the Dockerfile does.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.venv-docker
folder=${CARGO_TARGET_DIR:-target}/sbom
mkdir -p "$folder"
for service in gateway orchestrator worker tandem simulator; do
    image="${REGISTRY:-tandem}/$service:${TAG:-latest}"
    archive=$(mktemp)
    docker save "$image" --output "$archive"
    SYFT_CHECK_FOR_APP_UPDATE=false "$venv/bin/syft" scan "docker-archive:$archive" --source-name "$image" --output "spdx-json=$folder/$service.spdx.json" --quiet
    rm "$archive"
    crates=$(grep -o 'pkg:cargo/' "$folder/$service.spdx.json" | wc -l || true)
    if [ "$crates" = 0 ]; then
        echo "$image was built without cargo-auditable, so nothing in it says what its crates are: make images" >&2
        exit 1
    fi
    echo "$folder/$service.spdx.json: $crates crates, $(grep -o 'pkg:deb/' "$folder/$service.spdx.json" | wc -l || true) packages of Debian"
done
