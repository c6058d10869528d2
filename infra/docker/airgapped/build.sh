#!/usr/bin/env bash
# Makes the base images of compose.yaml from Debian packages, where no registry of images is in reach: the runtime that our binaries
# need, PostgreSQL and RabbitMQ. The mirror is the one that apt uses. images.env beside this file names the images.
set -euo pipefail
cd "$(dirname "$0")"

suite=bookworm
docker=${DOCKER:-docker}

if ! command -v mmdebstrap >/dev/null; then
    if [ "$(id -u)" != 0 ]; then
        echo "mmdebstrap is needed: run 'sudo apt-get install mmdebstrap'." >&2
        exit 1
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq mmdebstrap >/dev/null
fi

# apt's own sources of Debian, without what else the machine installs from.
sources() {
    local label
    for label in Debian Debian-Security; do
        apt-get indextargets --format 'deb $(SITE) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' "Label: $label" | grep " $suite" | sort -u
    done
}

# An image that was made in this very way is there already.
recipe() {
    {
        declare -f "$1" bootstrap load
        if [ "$1" = postgres ]; then cat postgres.sh; fi
    } | sha256sum | cut -c 1-12
}
is_made() { [ "$("$docker" image inspect --format '{{ index .Config.Labels "tandem.recipe" }}' "tandem-airgapped/$1" 2>/dev/null)" = "$(recipe "$1")" ]; }

# bootstrap NAME VARIANT PACKAGES [OPTION...]: a tree with these packages as NAME.tar.
bootstrap() {
    local name=$1 variant=$2 packages=$3
    shift 3
    sources | mmdebstrap --quiet --variant="$variant" --include="$packages" \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/lib/postgresql/*/lib/bitcode/*' "$@" "$suite" "$folder/$name.tar" -
}

# load NAME CHANGE...: the tree as an image.
load() {
    local name=$1 change changes=()
    shift
    for change in "LABEL tandem.recipe=$(recipe "$name")" "$@"; do changes+=(--change "$change"); done
    "$docker" import "${changes[@]}" "$folder/$name.tar" "tandem-airgapped/$name" >/dev/null
    rm "$folder/$name.tar"
    echo "tandem-airgapped/$name is made from Debian packages" >&2
}

# As bare as the image that it stands for: no shell, no package manager, one user.
runtime() {
    # Nothing is configured in a tree that is only extracted, so what that would make is made here.
    bootstrap runtime extract libc6,ca-certificates,tzdata \
        --dpkgopt='path-exclude=/usr/lib/*/gconv/*' --dpkgopt='path-exclude=/usr/bin/*' --dpkgopt='path-exclude=/usr/sbin/*' \
        --extract-hook='cat "$1"/usr/share/ca-certificates/mozilla/*.crt >"$1/etc/ssl/certs/ca-certificates.crt"' \
        --extract-hook='printf "%s\n" root:x:0:0:root:/root:/sbin/nologin nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin >"$1/etc/passwd"' \
        --extract-hook='printf "%s\n" root:x:0: nonroot:x:65532: >"$1/etc/group"' \
        --extract-hook='install -d -o 65532 -g 65532 "$1/home/nonroot"'
    load runtime "USER 65532:65532"
}

postgres() {
    bootstrap postgres essential postgresql \
        --customize-hook='install -m 755 postgres.sh "$1/usr/local/bin/entrypoint"' \
        --customize-hook='chroot "$1" install -d -o postgres -g postgres -m 700 /var/lib/postgresql/data'
    load postgres "USER postgres" "ENV PGDATA=/var/lib/postgresql/data" 'ENTRYPOINT ["entrypoint"]' 'CMD ["postgres"]'
}

rabbitmq() {
    bootstrap rabbitmq essential rabbitmq-server --customize-hook='rm -f "$1/var/lib/rabbitmq/.erlang.cookie"'
    # Debian's wrapper hides the output; what is wrapped is in the path before it.
    load rabbitmq "USER rabbitmq" "ENV HOME=/var/lib/rabbitmq" \
        "ENV PATH=/usr/lib/rabbitmq/bin:/usr/local/bin:/usr/bin:/bin" 'CMD ["rabbitmq-server"]'
}

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
makers=()
for name in runtime postgres rabbitmq; do
    if ! is_made "$name"; then
        "$name" &
        makers+=($!)
    fi
done
# The first that fails fails all.
for maker in "${makers[@]}"; do wait "$maker"; done
