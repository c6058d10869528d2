#!/usr/bin/env bash
# Runs a command where the Pub/Sub emulator can be started: that of PUBSUB_EMULATOR, else that of the installed Google Cloud CLI, which
# as root is installed where apt knows it. It comes from Google's package source, which Debian does not have; where it can't be had,
# that is said, and tests that need it skip. Each test starts an emulator of its own.
set -euo pipefail

installed() {
    [ -e "${PUBSUB_EMULATOR:-}" ] && return
    command -v gcloud >/dev/null &&
        [ -e "$(dirname "$(dirname "$(readlink -f "$(command -v gcloud)")")")/platform/pubsub-emulator/bin/cloud-pubsub-emulator" ]
}

if ! installed && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    # Whether it could be had is looked at below, and said.
    apt-get update -qq || true
    # The emulator is a Java program, and its package does not say so. Whether both are there is looked at below, too.
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq google-cloud-cli-pubsub-emulator default-jre-headless >/dev/null 2>&1 || true
fi
if ! installed || ! command -v java >/dev/null; then
    cat >&2 <<'SAY'
NOT TESTED: Pub/Sub, as its emulator is not installed. It takes Java and
  gcloud components install pubsub-emulator       or, with Google's package source,
  sudo apt-get install google-cloud-cli-pubsub-emulator default-jre-headless
or PUBSUB_EMULATOR names the program.
SAY
fi
exec "$@"
