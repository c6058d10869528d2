#!/usr/bin/env bash
# Images of the binaries in a folder, then the tests on compose.yaml with them: compose-test.sh FOLDER.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/images.sh "$1"
# The whole workspace, so that crates have the features that `make test` has built them with.
"${CARGO:-cargo}" test --workspace --locked --test compose
