#!/usr/bin/env bash
# The policies of infra/policies, and checkov's own, on everything in infra/terraform and on the Dockerfile; first that each policy catches its mistake.
# Every skip is beside the resource, with its reason.
set -euo pipefail

cd "$(dirname "$0")/.."
venv=.venv-policies
if ! cmp -s infra/policies/requirements.txt "$venv/requirements.txt"; then
    scripts/venv.sh "$venv" infra/policies/requirements.txt
    cp infra/policies/requirements.txt "$venv/requirements.txt"
fi
infra/policies/tests/check.py "$venv/bin/checkov"

log="$(mktemp)"
trap 'rm -f "$log"' EXIT
"$venv/bin/checkov" --directory infra/terraform --framework terraform --external-checks-dir infra/policies/checkov --skip-download --compact --quiet 2>&1 | tee "$log"
# A file that checkov can't read is a file in which nothing was checked.
if ! grep -q '^Passed checks: [1-9]' "$log" || grep -q 'Parsing errors' "$log"; then
    echo "checkov could not read every file: see --output json" >&2
    exit 1
fi

"$venv/bin/checkov" --directory infra/docker --framework dockerfile --skip-download --compact --quiet 2>&1 | tee "$log"
if ! grep -q '^Passed checks: [1-9]' "$log"; then
    echo "checkov could not read the Dockerfile" >&2
    exit 1
fi
