#!/usr/bin/env bash
# Shell scripts, YAML, GitHub's workflows and Cloud Build's files, and whether what is written by hand about alarms and policies is complete. The tools come as packages of Python, at the versions of
# infra/policies/requirements.txt.
set -euo pipefail

cd "$(dirname "$0")/.."
venv=.venv-policies
scripts/venv.sh "$venv" infra/policies/requirements.txt
# Workflows have scripts in them: their checker asks shellcheck.
PATH="$PWD/$venv/bin:$PATH"

files() { git ls-files -z --cached --others --exclude-standard -- "$@"; }
# What begins with the name of a shell, whatever it is called.
scripts() { files . | xargs -0 grep -lIZ -m1 -E '^#!/(usr/)?bin/(env )?(ba)?sh( |$)' --; }

scripts | xargs -0 shellcheck
files '*.yaml' '*.yml' | xargs -0 yamllint --strict
files '.github/workflows/*.yml' | xargs -0 jactionlint
"$venv/bin/python" infra/cloudbuild/check.py
"$venv/bin/python" scripts/tests/test_documents.py
echo "scripts, YAML, workflows and builds are well"
