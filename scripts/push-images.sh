#!/usr/bin/env bash
# Pushes the images that `make images` built and writes their digests: push-images.sh REGISTRY TAG FILE
# REGISTRY is the platform's output images.ours. FILE is what scripts/deploy.sh takes as IMAGES: {"images": {...}}; digests of other images in it
# (database_proxy, collector, console, vllm) stay.
set -euo pipefail

registry="${1:?push-images.sh REGISTRY TAG FILE}" tag="${2:?push-images.sh REGISTRY TAG FILE}" file="${3:?push-images.sh REGISTRY TAG FILE}"
gcloud auth configure-docker "${registry%%/*}" --quiet

found=()
for name in gateway orchestrator worker tandem; do
    image="$registry/$name"
    docker tag "tandem/$name" "$image:$tag"
    docker push --quiet "$image:$tag"
    # The registry's digest, which the push has told; an image that was pushed elsewhere too has more than one.
    pushed="$(docker image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$image:$tag" | grep -F -m 1 "$image@" || true)"
    # Migrations are a run of the command.
    found+=("${name/tandem/migrate}=$pushed")
done

python3 - "$file" "${found[@]}" <<'PYTHON'
import json, pathlib, re, sys

file = pathlib.Path(sys.argv[1])
known = json.loads(file.read_text()) if file.exists() and file.read_text().strip() else {"images": {}}
for pair in sys.argv[2:]:
    name, _, image = pair.partition("=")
    if not re.search(r"@sha256:[0-9a-f]{64}$", image):
        sys.exit(f"{name}: {image} has no digest")
    known["images"][name] = image
file.write_text(json.dumps(known, indent=2) + "\n")
PYTHON
cat "$file"
