#!/usr/bin/env python3
"""Cloud Build's files have the right shape, use the variables that they have, and have scripts that shellcheck likes."""

import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import yaml

HERE = Path(__file__).parent
# Cloud Build's own.
GIVEN = {"PROJECT_ID", "BUILD_ID", "COMMIT_SHA"}


def texts(value):
    if isinstance(value, dict):
        return [text for inner in value.values() for text in texts(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in texts(inner)]
    return [value] if isinstance(value, str) else []


def mistakes(build):
    errors = jsonschema.Draft202012Validator(json.loads((HERE / "schema.json").read_text())).iter_errors(build)
    found = [f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in errors]
    if found:
        return found
    known = set(build["substitutions"])
    # Cloud Build puts nothing into scripts: they read their environment.
    outside = [text for text in texts(build) if text not in {step.get("script") for step in build["steps"]}]
    used = {name for text in outside for name in re.findall(r"\$\{?([A-Z_][A-Z0-9_]*)", text)}
    found += [f"{name} is used and not given" for name in sorted(used - known - GIVEN)]
    found += [f"{name} is given and not used" for name in sorted(known - used)]
    for step in build["steps"]:
        name = build["substitutions"].get(step["name"].strip("${}"), step["name"])
        if name and not re.search(r"@sha256:[0-9a-f]{64}$", name) and not name.startswith("gcr.io/cloud-builders/"):
            found.append(f"{step['id']}: {name} has no digest")
        env = {pair.partition("=")[0] for pair in step.get("env", [])}
        script = step.get("script", "")
        upper = set(re.findall(r"\$\{?([A-Z][A-Z0-9_]*)", script)) - set(re.findall(r"\b([A-Z][A-Z0-9_]*)=", script))
        found += [f"{step['id']}: {name} is not in the script's environment" for name in sorted(upper - env)]
        if script:
            text = script if script.startswith("#!") else "#!/bin/sh\n" + script + "\n"
            ended = subprocess.run(["shellcheck", "-"], input=text, capture_output=True, text=True, check=False)
            found += [ended.stdout] if ended.returncode else []
    return found


def main():
    files = sorted(HERE.glob("*.yaml"))
    wrong = [f"{file.name}: {mistake}" for file in files for mistake in mistakes(yaml.safe_load(file.read_text()))]
    if not files:
        sys.exit(f"{HERE} has no builds")
    # The check itself: a build that is well until something is wrong with it.
    well = yaml.safe_load((HERE / "plan.yaml").read_text())
    for change in (
        lambda build: build.update(serviceAcount=""),
        lambda build: build["substitutions"].update(_UNUSED="x"),
        lambda build: build["substitutions"].pop("_ENV"),
        lambda build: build["substitutions"].update(_TOOLS="r/tools:latest"),
        lambda build: build["steps"][0].update(script="echo $MISSING_ONE"),
        lambda build: build["options"].pop("logging"),
    ):
        build = json.loads(json.dumps(well))
        change(build)
        if not mistakes(build):
            wrong.append(f"check.py: {build} should not pass")
    print("\n".join(wrong) or f"{len(files)} builds are well")
    sys.exit(bool(wrong))


main()
