#!/usr/bin/env bash
# The policies of infra/policies, and checkov's own, on everything in infra/terraform and on the Dockerfile; first that each policy catches its mistake.
# Every skip is beside the resource, with its reason. With --plan FOLDER: our own policies on FOLDER/plan.bin, a plan of Terraform's.
set -euo pipefail

cd "$(dirname "$0")/.."
venv=.venv-policies
scripts/venv.sh "$venv" infra/policies/requirements.txt
if [ "${1-}" = --plan ]; then
    plan="$(mktemp --suffix .json)"
    trap 'rm -f "$plan"' EXIT
    terraform -chdir="$2" show -json plan.bin >"$plan"
    "$venv/bin/checkov" --file "$plan" --framework terraform_plan --external-checks-dir infra/policies/checkov --check 'CKV_TANDEM*' --skip-download --compact --quiet
    exit
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
