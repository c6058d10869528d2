#!/usr/bin/env bash
# Renders infra/kubernetes for every environment and checks what comes out: shapes, policies, checkov. No cluster and no cloud account is used.
# With --can-run it only says, by its exit status, whether kubectl is there. With a folder it leaves what it rendered there.
set -euo pipefail

cd "$(dirname "$0")/.."
if [ "${1-}" = --can-run ]; then
    kubectl kustomize --help >/dev/null 2>&1
    exit
fi
if ! kubectl kustomize --help >/dev/null 2>&1; then
    echo "kubectl 1.30 or newer is needed: see https://kubernetes.io/docs/tasks/tools/" >&2
    echo "(Debian and Ubuntu, with Google Cloud's package source: sudo apt-get install kubectl)" >&2
    exit 1
fi
venv=.venv-policies
scripts/venv.sh "$venv" infra/policies/requirements.txt

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
rendered="${1:-$work/rendered}"
mkdir -p "$rendered"

render() { # NAME FOLDER
    kubectl kustomize "$2" >"$rendered/$1.yaml"
}

python3 scripts/tests/test_kubernetes_platform.py
# What is in the repository is what the example says.
for environment in dev stage prod; do
    scripts/kubernetes-platform.py "infra/kubernetes/example/$environment.json" asia-south1 --check
    for cluster in models workers; do
        render "$environment-$cluster" "infra/kubernetes/overlays/$environment/$cluster"
    done
done
# And a deployment where everything that may be chosen is.
cp -r infra/kubernetes "$work/kubernetes"
scripts/kubernetes-platform.py infra/kubernetes/example/every-option.json asia-south1 --gateway --tree "$work/kubernetes"
for cluster in models workers; do
    render "every-option-$cluster" "$work/kubernetes/overlays/stage/$cluster"
done

"$venv/bin/python" infra/policies/kubernetes/check.py "$rendered"
"$venv/bin/python" infra/policies/kubernetes/start_test.py "$rendered/dev-models.yaml"

log="$work/log"
"$venv/bin/checkov" --directory "$rendered" --framework kubernetes --config-file infra/kubernetes/checkov.yaml 2>&1 | tee "$log"
if ! grep -q '^Passed checks: [1-9]' "$log" || grep -q 'Parsing errors' "$log"; then
    echo "checkov could not read every manifest" >&2
    exit 1
fi
