#!/usr/bin/env bash
# Whether a deployed API answers as it should: smoke-test.sh https://ai.example.com. With SMOKE_KEY it also asks a model (SMOKE_MODEL, or chat).
# A new certificate takes up to half an hour, so it tries for as long (SMOKE_TRIES=90, each after 20 seconds).
set -euo pipefail

url="${1:?smoke-test.sh https://ai.example.com}"
call() { curl --silent --show-error --max-time 60 "$@"; }
status() { call --output /dev/null --write-out '%{http_code}' "$@"; }

call --fail --retry "${SMOKE_TRIES:-90}" --retry-delay 20 --retry-all-errors "$url/openapi.json" | grep -q '"openapi"'
echo "ok $url/openapi.json"

got="$(status "$url/v1/models")"
[ "$got" = 401 ] || { echo "$url/v1/models answers $got to a caller without a key, not 401" >&2 && exit 1; }
echo "ok callers without a key are refused"

if [ -n "${SMOKE_KEY:-}" ]; then
    body="{\"model\": \"${SMOKE_MODEL:-chat}\", \"max_tokens\": 8, \"messages\": [{\"role\": \"user\", \"content\": \"Say yes.\"}]}"
    # The key goes by a file descriptor: arguments are seen by everybody on the machine.
    call --fail --config <(printf 'header = "Authorization: Bearer %s"\n' "$SMOKE_KEY") --header 'Content-Type: application/json' --data "$body" "$url/v1/chat/completions" | grep -q '"choices"'
    echo "ok ${SMOKE_MODEL:-chat} answers"
fi
