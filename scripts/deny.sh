#!/usr/bin/env bash
# Licences, duplicate sources and the arrows between crates (deny.toml). Advisories need the advisory database from the
# network, so they are a separate, scheduled job and no part of this check.
set -euo pipefail

if ! command -v cargo-deny >/dev/null; then
    cargo install --locked --quiet cargo-deny
fi
# Crates of other platforms count too, and the check itself may not go to the network.
cargo fetch --locked --quiet
cargo deny --offline --locked check licenses bans sources
