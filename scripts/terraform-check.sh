#!/usr/bin/env bash
# Format, validation and tests of every Terraform root and module, then the policies: terraform-check.sh [FOLDER...]
# Works on a copy, so that no state, plug-in or lock file is left in the work tree. Providers come from the registry, or from
# the mirror that Terraform's own configuration (TF_CLI_CONFIG_FILE) names. No cloud account is used.
set -euo pipefail

root="$(cd "$(dirname "$0")/.." && pwd)"
if ! command -v terraform >/dev/null; then
    echo "Terraform 1.11 or newer is needed: see https://developer.hashicorp.com/terraform/install" >&2
    echo "(Debian and Ubuntu, with HashiCorp's package source: sudo apt-get install terraform)" >&2
    exit 1
fi

copy="$(mktemp -d)"
trap 'rm -rf "$copy"' EXIT
(cd "$root" && git ls-files -z --cached --others --exclude-standard -- infra crates/store/src/store.rs | while IFS= read -r -d '' file; do
    if [ -e "$file" ]; then printf '%s\0' "$file"; fi
done | xargs -0 cp --parents --target-directory "$copy")
export CHECKPOINT_DISABLE=1 TF_IN_AUTOMATION=1 TF_INPUT=0
# One download of each provider serves every folder.
export TF_PLUGIN_CACHE_DIR="${TF_PLUGIN_CACHE_DIR:-$copy/plugins}" TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE=1
mkdir -p "$TF_PLUGIN_CACHE_DIR"

terraform fmt -check -diff -recursive "$copy/infra/terraform"

quietly() { # shows what a command said only when it failed
    local log="$copy/log"
    if ! "$@" >"$log" 2>&1; then
        cat "$log" >&2
        return 1
    fi
}

check() {
    local folder="$copy/$1"
    if ! quietly terraform -chdir="$folder" init -backend=false -no-color; then
        echo "$1: init failed. Providers come from the registry or from the mirror that TF_CLI_CONFIG_FILE names." >&2
        return 1
    fi
    # Called where failures are collected, so `set -e` does not hold here.
    quietly terraform -chdir="$folder" validate -no-color &&
        quietly terraform -chdir="$folder" test -no-color &&
        echo "ok $1: $(tail -1 "$copy/log")" &&
        check_environments "$1"
}

check_environments() { # each file of variables, in a test of its own
    local variables
    for variables in "$copy/$1"/envs/*.tfvars; do
        [ -e "$variables" ] || return 0
        quietly terraform -chdir="$copy/$1" test -no-color -test-directory=envs -var-file="envs/$(basename "$variables")" || return 1
        echo "ok $1/envs/$(basename "$variables")"
    done
}

if [ $# -eq 0 ]; then
    mapfile -t folders < <(cd "$copy" && find infra/terraform -name versions.tf -printf '%h\n' | sort)
else
    folders=("${@%/}")
fi
failed=()
for folder in "${folders[@]}"; do
    check "$folder" || failed+=("$folder")
done
if [ ${#failed[@]} -ne 0 ]; then
    printf 'failed: %s\n' "${failed[@]}" >&2
    exit 1
fi
