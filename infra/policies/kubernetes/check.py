#!/usr/bin/env python3
"""Rendered manifests have the right shape and break no policy, and every policy catches its mistakes: check.py FOLDER

FOLDER has a file for each cluster of each environment. Kinds of Kubernetes' own are judged by its schemas, others by
infra/kubernetes/schemas. Each mistake of tests/kubernetes/mistakes.yaml is made in a manifest that is well, and then found.
"""

import copy
import json
import sys
from pathlib import Path

import jsonschema
import kubernetes_validate
import yaml
from manifests import Cluster, get, title
from policies import POLICIES

HERE = Path(__file__).parent
SCHEMAS = {path.stem: json.loads(path.read_text()) for path in (HERE.parents[1] / "kubernetes" / "schemas").glob("*.json")}
MISTAKES = HERE.parent / "tests" / "kubernetes" / "mistakes.yaml"
# The oldest minor version of GKE's REGULAR channel that the manifests are meant for.
KUBERNETES = "1.33"
GROUPS = {"v1", "apps/v1", "batch/v1", "policy/v1", "networking.k8s.io/v1", "autoscaling/v2"}


def shape(thing):
    """What is wrong with the fields of one object."""
    if thing["kind"] in SCHEMAS:
        errors = jsonschema.Draft202012Validator(SCHEMAS[thing["kind"]]).iter_errors(thing)
        return [f"{title(thing)}: {'.'.join(map(str, error.absolute_path))}: {error.message}" for error in errors]
    if thing["apiVersion"] not in GROUPS:
        return [f"{title(thing)}: infra/kubernetes/schemas has no schema of {thing['apiVersion']} {thing['kind']}"]
    try:
        kubernetes_validate.validate(thing, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{title(thing)}: {'.'.join(map(str, error.path))}: {error.message}"]
    return []


def complaints(things):
    """(policy, sentence) for everything that is wrong."""
    found = [("shape", sentence) for thing in things for sentence in shape(thing)]
    if not found:
        cluster = Cluster(things)
        found = [(name, sentence) for name, judge in POLICIES.items() for sentence in judge(cluster)]
    return found


def step(place, key):
    """The index of a step: into a list by place or by the `name` of an element, into an object by key."""
    if isinstance(place, dict):
        return key
    return int(key) if key.isdigit() else next(at for at, each in enumerate(place) if each.get("name") == key)


def change(things, edit):
    """Makes one change. One that changes nothing is itself a mistake, of the test."""
    if "add" in edit:
        return things + [edit["add"]]
    before = copy.deepcopy(things)
    thing = next(each for each in things if each["kind"] == edit["kind"] and each["metadata"]["name"] == edit["name"])
    if "at" not in edit:
        things.remove(thing)
        return things
    *path, last = (part.replace("~1", "/") for part in edit["at"].removeprefix("/").split("/"))
    place = thing
    for key in path:
        place = place[step(place, key)]
    if "element" in edit:
        place[last].remove(edit["element"])
    elif "value" in edit:
        place[step(place, last)] = edit["value"]
    else:
        place.pop(step(place, last))
    assert things != before, f"{edit} changes nothing"
    return things


def unnoticed(clusters):
    """What is wrong with the policies: a mistake that none or another one catches, a policy without a mistake."""
    mistakes = yaml.safe_load(MISTAKES.read_text())
    for mistake in mistakes:
        things = copy.deepcopy(clusters[mistake["cluster"]])
        for edit in mistake["edits"]:
            things = change(things, edit)
        caught = {name for name, _ in complaints(things)}
        if caught != {mistake["policy"]}:
            yield f"{mistake['name']}: {mistake['policy']} should catch it, and {', '.join(sorted(caught)) or 'nothing'} does"
    for name in sorted((POLICIES.keys() | {"shape"}) - {mistake["policy"] for mistake in mistakes}):
        yield f"{name} has no mistake in {MISTAKES.name}"
    # A field that nobody knows is refused in every kind.
    for things in clusters.values():
        for thing in things:
            section = "spec" if "spec" in thing else None
            odd = copy.deepcopy(thing)
            (odd[section] if section else odd)["specc"] = {}
            if not shape(odd):
                yield f"{title(thing)}: an unknown field is not refused"
    print(f"{len(POLICIES)} policies catch {len(mistakes)} mistakes")


def main():
    clusters = {path.stem: [each for each in yaml.safe_load_all(path.read_text()) if each] for path in sorted(Path(sys.argv[1]).glob("*.yaml"))}
    if not clusters or not all(clusters.values()):
        sys.exit(f"{sys.argv[1]} has no manifests")
    wrong = [f"{cluster}: {sentence} [{name}]" for cluster, things in clusters.items() for name, sentence in complaints(things)]
    if not wrong:
        wrong = list(unnoticed(clusters))
    print("\n".join(wrong) or f"{sum(map(len, clusters.values()))} objects of {len(clusters)} clusters are well")
    sys.exit(bool(wrong))


main()
