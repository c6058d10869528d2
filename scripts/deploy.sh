#!/usr/bin/env bash
# Brings an environment in Google Cloud to what this tree says: make deploy ENV=dev PROJECT=acme-dev-1. Again is safe: what is there already stays as it is.
#
#   REGION=asia-south1   region of Terraform's state, at the first deploy
#   PREFIX=tandem        first part of every name
#   STEPS="..."          some of: bootstrap plan apply workloads manifests smoke. Once its bucket is there, bootstrap is done again only when it is the one step
#   YES=1                does not ask
#   PLAN=1               says what a first deploy would do; nothing is called, no cloud account is needed
#   GATEWAY=1            models are also reached through an internal gateway
#   VARS=FILE            variables of the platform; infra/terraform/platform/PROJECT.auto.tfvars when not given
#   IMAGES=FILE          digests that scripts/push-images.sh wrote; part of VARS when not given
#   BOOTSTRAP=FILE       variables of bootstrap, such as who may come in from GitHub; none when not given
#   SMOKE_KEY=tdm_...    a key of the API: the smoke test also asks a model (SMOKE_MODEL=chat)
#
# It works in .deploy/PROJECT, on a copy of infra/, so that projects don't meet and nothing is left in the tree.
set -euo pipefail

cd "$(dirname "$0")/.."
environment="${ENV:?make deploy ENV=dev PROJECT=acme-dev-1}" project="${PROJECT:?make deploy ENV=dev PROJECT=acme-dev-1}"
region="${REGION:-asia-south1}" prefix="${PREFIX:-tandem}" plan="${PLAN:-}" steps="${STEPS:-bootstrap plan apply workloads manifests smoke}"
bucket="$project-$prefix-state" name="$prefix-$environment"
work=".deploy/$project" terraform=".deploy/$project/infra/terraform"
variables="${VARS:-infra/terraform/platform/$project.auto.tfvars}"
export KUBECONFIG="$PWD/$work/kubeconfig" CLOUDSDK_CORE_PROJECT="$project" CLOUDSDK_CORE_DISABLE_PROMPTS=1 TF_IN_AUTOMATION=1 TF_INPUT=0

say() { printf '\n== %s\n' "$*"; }
stop() {
    printf 'deploy: %s\n' "$*" >&2
    exit 1
}
# What changes something, or only makes sense when something was changed. A plan says it.
run() {
    printf '   %s\n' "$*"
    [ -n "$plan" ] || "$@"
}
# A question to the cloud. A plan takes it that nothing is there.
there() { [ -z "$plan" ] && "$@" >/dev/null 2>&1; }
has() { case " $steps " in *" $1 "*) ;; *) return 1 ;; esac }
# A value of the platform's outputs, or the keys of it, a line each; a plan shows something in its place: output SHOWN NAME [KEY...]
output() {
    if [ -n "$plan" ]; then
        echo "$1"
        return
    fi
    shift
    python3 -c '
import json, sys
found = json.load(open(sys.argv[1]))[sys.argv[2]]["value"]
for key in sys.argv[3:]:
    found = found[key]
print("\n".join(found) if isinstance(found, (dict, list)) else found)' "$work/outputs.json" "$@"
}

check_inputs() {
    case "$environment" in dev | stage | prod) ;; *) stop "ENV is dev, stage or prod, not $environment" ;; esac
    [[ "$project" =~ ^[a-z][a-z0-9-]{4,28}[a-z0-9]$ ]] || stop "PROJECT is a project's id, such as acme-dev-1, not $project"
    for step in $steps; do
        case "$step" in bootstrap | plan | apply | workloads | manifests | smoke) ;; *) stop "STEPS has no $step: bootstrap plan apply workloads manifests smoke" ;; esac
    done
    [ -z "$plan" ] || return 0
    for tool in gcloud terraform kubectl python3; do
        command -v "$tool" >/dev/null || stop "$tool is missing; infra/terraform/README.md says what is needed"
    done
    [ -f "$variables" ] || stop "$variables is missing; infra/terraform/README.md has one to begin with"
}

describe() {
    case "$1" in
    bootstrap) echo "APIs, the bucket of Terraform's state and CI's accounts, unless they are there" ;;
    plan) echo "what Terraform would change in the platform; before the first apply the registry and the secrets are made" ;;
    apply) echo "change it; the schema of the database first, then services" ;;
    workloads) echo "KEDA and the collector, in every cluster" ;;
    manifests) echo "workers and model servers, in every cluster" ;;
    smoke) echo "ask the API whether it is well" ;;
    esac
}

ask() {
    say "$environment in $project"
    for step in $steps; do printf '   %-10s %s\n' "$step" "$(describe "$step")"; done
    confirm "Go on?"
}

confirm() {
    [ -z "${YES:-}$plan" ] || return 0
    read -r -p "$1 [y/N] " answer
    [ "$answer" = y ] || stop "not confirmed, so it ends here"
}

# Each project has a copy of its own. What Terraform keeps in it between runs (.terraform, a state that has not moved yet) stays.
copy_tree() {
    [ -z "$plan" ] || return 0
    mkdir -p "$work/infra"
    find "$work/infra" -type f ! -path '*/.terraform/*' ! -name '.terraform.lock.hcl' ! -name 'terraform.tfstate*' ! -name 'plan.*' -delete
    cp -r infra "$work/"
    rm -f "$terraform"/platform/*.auto.tfvars*
    cp "$variables" "$terraform/platform/project.auto.tfvars"
    # Read after the other one, so that its digests count.
    if [ -n "${IMAGES:-}" ]; then cp "$IMAGES" "$terraform/platform/zz-images.auto.tfvars.json"; fi
}

# Plans, and applies what differs: apply_root FOLDER [ARGUMENT...]
apply_root() {
    local folder="$1" changed=0
    shift
    run terraform -chdir="$folder" plan -out=plan.bin -detailed-exitcode "$@" || changed=$?
    if [ -n "$plan" ] || [ "$changed" = 2 ]; then
        confirm "Apply this?"
        run terraform -chdir="$folder" apply plan.bin
    elif [ "$changed" != 0 ]; then
        exit "$changed"
    fi
}

bootstrap() {
    local folder="$terraform/bootstrap" arguments=(-var "project_id=$project" -var "region=$region" -var "prefix=$prefix")
    if [ -n "${BOOTSTRAP:-}" ]; then arguments+=("-var-file=$(realpath "$BOOTSTRAP")"); fi
    # A state that the last run could not move into the bucket is continued.
    if [ ! -e "$folder/terraform.tfstate" ] && there gcloud storage buckets describe "gs://$bucket"; then
        say "bootstrap: gs://$bucket is there"
        if [ "$steps" = bootstrap ]; then
            state_in_bucket "$folder"
            run terraform -chdir="$folder" init -reconfigure "-backend-config=bucket=$bucket"
            apply_root "$folder" "${arguments[@]}"
        fi
        return
    fi
    say "bootstrap: APIs, the bucket of the state, CI's accounts"
    run terraform -chdir="$folder" init -reconfigure
    apply_root "$folder" "${arguments[@]}"
    state_in_bucket "$folder"
    run terraform -chdir="$folder" init -migrate-state -force-copy "-backend-config=bucket=$bucket"
    [ -n "$plan" ] || rm -f "$folder"/terraform.tfstate*
}
state_in_bucket() { [ -n "$plan" ] || printf 'terraform {\n  backend "gcs" {\n    prefix = "bootstrap"\n  }\n}\n' >"$1/backend.tf"; }

platform_init() { run terraform -chdir="$terraform/platform" init -reconfigure "-backend-config=bucket=$bucket"; }

# Services can't start before there are images and secrets. Two secrets are random numbers and made here, the others are somebody's keys.
registry_and_secrets() {
    if ! there gcloud secrets describe "$name-vllm"; then
        say "platform: first the registry and the secrets, which have to be filled"
        run terraform -chdir="$terraform/platform" apply -auto-approve "-var-file=envs/$environment.tfvars" -target=module.registry -target=module.secrets
    fi
    fill "$name-vllm" base64
    fill "$name-webhooks" hex
    [ -n "$plan" ] || ! grep -qs '@sha256:0\{64\}' "$terraform"/platform/*.auto.tfvars* ||
        stop "an image still has the digest 000...: push the images (scripts/push-images.sh), then deploy again"
}

# A first version for a secret that has none: fill SECRET FORMAT
fill() {
    there has_version "$1" && return
    say "a random value for $1"
    run add_version "$1" "$2"
}
has_version() { gcloud secrets versions list "$1" --filter=state=ENABLED --limit=1 '--format=value(name)' | grep -q .; }
add_version() { random "$2" | gcloud secrets versions add "$1" --data-file=-; }
# 32 bytes as `hex` or `base64`, without a newline.
random() { python3 -c 'import base64, secrets, sys; b = secrets.token_bytes(32); print(b.hex() if sys.argv[1] == "hex" else base64.b64encode(b).decode(), end="")' "$1"; }

plan_platform() {
    say "platform: the plan"
    local changed=0
    run terraform -chdir="$terraform/platform" plan -out=plan.bin -detailed-exitcode "-var-file=envs/$environment.tfvars" || changed=$?
    [ "$changed" = 0 ] || [ "$changed" = 2 ] || exit "$changed"
    [ -n "$plan" ] || echo "$changed" >"$terraform/platform/plan.changed"
}

apply_platform() {
    say "platform: apply"
    [ -n "$plan" ] || [ -e "$terraform/platform/plan.changed" ] || stop "there is no plan to apply; STEPS has plan before apply"
    if [ -z "$plan" ] && [ "$(cat "$terraform/platform/plan.changed")" = 0 ]; then
        echo "   nothing to change"
    else
        confirm "Apply this?"
        run terraform -chdir="$terraform/platform" apply plan.bin
    fi
    # A plan is applied once.
    [ -n "$plan" ] || rm -f "$terraform/platform/plan.bin" "$terraform/platform/plan.changed"
}

read_outputs() {
    [ -n "$plan" ] || terraform -chdir="$terraform/platform" output -json >"$work/outputs.json"
}

# Calls a function with REGION and CLUSTER of every cluster of the platform.
each_cluster() {
    local kind where regions
    for kind in workers models; do
        regions="$(output "$region" clusters "$kind")"
        for where in $regions; do "$1" "$where" "$kind"; done
    done
}

workloads() {
    local folder="$terraform/workloads" rabbitmq=false
    say "workloads of $2 in $1: KEDA, collector"
    if [ "$2" = workers ] && [ "$(output pubsub workers "$1" env TANDEM__DOORBELL__KIND)" = rabbitmq ]; then rabbitmq=true; fi
    run terraform -chdir="$folder" init -reconfigure "-backend-config=bucket=$bucket" "-backend-config=prefix=workloads/$1/$2"
    apply_root "$folder" -var "state_bucket=$bucket" -var "region=$1" -var "cluster=$2" -var "rabbitmq=$rabbitmq"
}

manifests() {
    local folder="$work/infra/kubernetes/overlays/$environment/$2"
    say "manifests of $2 in $1"
    run scripts/kubernetes-platform.py "$work/outputs.json" "$1" --tree "$work/infra/kubernetes" --only "$2" ${GATEWAY:+--gateway}
    if [ -z "$plan" ] && [ ! -d "$folder/platform" ]; then
        echo "   no model is served there"
        return
    fi
    run gcloud container clusters get-credentials "$(output "$name-$2" clusters "$2" "$1" name)" --region "$1" --dns-endpoint
    # Before the first apply there is nothing to compare with: the namespace is missing, and that is an error of diff.
    if [ -z "$plan" ] && kubectl diff --server-side --field-manager=tandem-deploy -k "$folder"; then
        echo "   nothing to change"
    else
        run kubectl apply --server-side --field-manager=tandem-deploy -k "$folder"
    fi
    # A model server that loads is waited for by nobody: it may take half an hour, and others answer meanwhile.
    if [ "$2" = workers ]; then
        run kubectl rollout status deployment/worker --namespace "$(output tandem workers "$1" namespace)" --timeout 10m
    fi
}

smoke() {
    local domains domain
    domains="$(output DOMAIN domains)"
    domain="${domains%%$'\n'*}"
    say "smoke test of https://$domain"
    run scripts/smoke-test.sh "https://$domain"
}

check_inputs
ask
copy_tree
if has bootstrap; then bootstrap; fi
if has plan || has apply || has workloads || has manifests || has smoke; then platform_init; fi
if has plan; then
    if has apply; then registry_and_secrets; fi
    plan_platform
fi
if has apply; then apply_platform; fi
if has workloads || has manifests || has smoke; then read_outputs; fi
if has workloads; then each_cluster workloads; fi
if has manifests; then each_cluster manifests; fi
if has smoke; then smoke; fi
say "done"
