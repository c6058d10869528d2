#!/usr/bin/env bash
# Format, validation and tests of every Terraform root and module: terraform-check.sh [FOLDER...]
# With --can-run it only says, by its exit status, whether Terraform and the providers are within reach.
# Works on a copy, so that no state, plug-in or lock file is left in the work tree. Providers come from the registry, or from
# the mirror that Terraform's own configuration (TF_CLI_CONFIG_FILE) names. No cloud account is used.
set -euo pipefail

root="$(cd "$(dirname "$0")/.." && pwd)"
if [ "${1-}" = --can-run ]; then
    command -v terraform >/dev/null || exit 1
    probe="$(mktemp -d)"
    trap 'rm -rf "$probe"' EXIT
    # The providers that every root needs.
    cp "$root/infra/terraform/bootstrap/versions.tf" "$probe"
    CHECKPOINT_DISABLE=1 timeout 120 terraform -chdir="$probe" init -backend=false -input=false >/dev/null 2>&1
    exit
fi
if ! command -v terraform >/dev/null; then
    echo "Terraform 1.11 or newer is needed: see https://developer.hashicorp.com/terraform/install" >&2
    echo "(Debian and Ubuntu, with HashiCorp's package source: sudo apt-get install terraform)" >&2
    exit 1
fi

copy="$(mktemp -d)"
trap 'rm -rf "$copy"' EXIT
# One test compares the connection budget with what the code opens.
(cd "$root" && git ls-files -z --cached --others --exclude-standard -- infra crates/store/src/store.rs | while IFS= read -r -d '' file; do
    if [ -e "$file" ]; then printf '%s\0' "$file"; fi
done | xargs -0 cp --parents --target-directory "$copy")
export copy CHECKPOINT_DISABLE=1 TF_IN_AUTOMATION=1 TF_INPUT=0
# One download of each provider serves every folder.
export TF_PLUGIN_CACHE_DIR="${TF_PLUGIN_CACHE_DIR:-$copy/plugins}" TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE=1
mkdir -p "$TF_PLUGIN_CACHE_DIR"

terraform fmt -check -diff -recursive "$copy/infra/terraform"

if [ $# -eq 0 ]; then
    # The longest first.
    mapfile -t folders < <(cd "$copy" && find infra/terraform -name versions.tf -printf '%h\n' | sort -r)
else
    folders=("${@%/}")
fi

# The plug-in cache is not made for several at once, so this is one after the other.
for folder in "${folders[@]}"; do
    if ! terraform -chdir="$copy/$folder" init -backend=false -no-color >"$copy/log" 2>&1; then
        cat "$copy/log" >&2
        echo "$folder: init failed. Providers come from the registry or from the mirror that TF_CLI_CONFIG_FILE names." >&2
        exit 1
    fi
done

quietly() { # shows what a command said only when it failed
    local log="$copy/$folder/log"
    "$@" >"$log" 2>&1 || {
        cat "$log" >&2
        echo "FAILED $folder: $*" >&2
        return 1
    }
}

check() { # the folder, then each of its files of variables in a test of its own
    folder="$1"
    quietly terraform -chdir="$copy/$folder" validate -no-color
    quietly terraform -chdir="$copy/$folder" test -no-color
    echo "ok $folder: $(tail -1 "$copy/$folder/log")"
    for variables in "$copy/$folder"/envs/*.tfvars; do
        [ -e "$variables" ] || continue
        name="envs/$(basename "$variables")"
        quietly terraform -chdir="$copy/$folder" test -no-color -test-directory=envs -var-file="$name"
        echo "ok $folder/$name"
    done
}
export -f quietly check

if ! printf '%s\n' "${folders[@]}" | xargs -P "$(nproc)" -I '{}' bash -euo pipefail -c 'check "$1"' check '{}'; then
    echo "infra/terraform has failures, see above" >&2
    exit 1
fi
