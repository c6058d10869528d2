#!/usr/bin/env python3
"""What Terraform knows, as the `platform` folders of infra/kubernetes/overlays: kubernetes-platform.py OUTPUTS REGION [options]

OUTPUTS is the file that `terraform output -json` of infra/terraform/platform was written to. Only this script writes those folders;
what is in the repository comes from infra/kubernetes/example.
"""

import argparse
import json
import math
import re
import shutil
import sys
from pathlib import Path

KUBERNETES = Path(__file__).resolve().parent.parent / "infra" / "kubernetes"
WRITTEN = "# Written by scripts/kubernetes-platform.py.\n"
COMPONENT = {"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component"}
# Arguments that the platform held against the machine.
CHECKED = ["tensor-parallel-size", "max-model-len", "gpu-memory-utilization"]
SECRETS = "/var/run/secrets/tandem"
PLAIN = re.compile(r"^[A-Za-z/.][A-Za-z0-9_./@:-]*$")
NAME = re.compile(r"^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$")
WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}


def scalar(value):
    """A word as it is, anything that YAML could take for something else in quotes."""
    if isinstance(value, str) and PLAIN.match(value) and value.lower() not in WORDS and not value.endswith(":"):
        return value
    return json.dumps(value)


def block(value, indent=0):
    """Lines of YAML."""
    pad = "  " * indent
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, (dict, list)) and inner:
                yield f"{pad}{scalar(key)}:"
                yield from block(inner, indent + 1)
            else:
                yield f"{pad}{scalar(key)}: {scalar(inner)}"
    else:
        for item in value:
            lines = list(block(item)) if isinstance(item, dict) else [scalar(item)]
            yield f"{pad}- {lines[0]}"
            yield from (f"{pad}  {line}" for line in lines[1:])


def document(*objects):
    return WRITTEN + "---\n".join("\n".join(block(each)) + "\n" for each in objects)


def values(name, data):
    """A ConfigMap that replacements read and nobody applies."""
    for key, value in data.items():
        if value in (None, ""):
            sys.exit(f"{name}: the platform has no {key}: see infra/kubernetes/README.md")
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "annotations": {"config.kubernetes.io/local-config": "true"}},
        "data": {key: str(value) for key, value in data.items()},
    }


def secret_class(name, namespace, project, secrets):
    """Files from Secret Manager: by name of the file, secret and version."""
    wanted = [{"resourceName": f"projects/{project}/secrets/{secret}/versions/{version}", "path": path} for path, (secret, version) in secrets.items()]
    return {
        "apiVersion": "secrets-store.csi.x-k8s.io/v1",
        "kind": "SecretProviderClass",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"provider": "gke", "parameters": {"secrets": json.dumps(wanted)}},
    }


def ranges(outputs, *kinds):
    """Addresses of these kinds, of every region: callers may be far away."""
    return sorted(cidr for addresses in outputs["network_addresses"].values() for kind, cidr in addresses.items() if kind in kinds)


def callers(name, namespace, port, cidrs):
    """What makes of a policy that lets nobody in one that lets these in."""
    rule = {"from": [{"ipBlock": {"cidr": cidr}} for cidr in cidrs], "ports": [{"port": port}]}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name, "namespace": namespace}, "spec": {"ingress": [rule]}}


def workers(outputs, region):
    """The files of workers/platform."""
    of = outputs["workers"][region]
    proxy, secrets = of["database_proxy"], of["secrets"]
    env = of["env"] | {name: f"file:{SECRETS}/{name}" for name in secrets}
    pod = {"initContainers": [{"name": "database-proxy", "args": proxy["args"]}]}
    component = {
        "resources": ["platform.yaml"],
        "components": ["../../../../../workers/platform"],
        "configMapGenerator": [{"name": "worker", "namespace": "tandem", "envs": ["worker.env"]}],
        "patches": [{"path": "worker.yaml"}],
    }
    files = {
        "platform.yaml": document(values("platform", {
            "project": outputs["project_id"], "service_account": of["service_account"], "image": of["image"],
            "proxy_image": proxy["image"], "max_replicas": of["max_replicas"],
        })),
        "worker.env": WRITTEN + "".join(f"{name}={value}\n" for name, value in sorted(env.items())),
    }
    if secrets:
        files["secrets.yaml"] = document(secret_class("worker", of["namespace"], outputs["project_id"], {name: (secret["secret"], secret["version"]) for name, secret in secrets.items()}))
        component["resources"].append("secrets.yaml")
        pod["containers"] = [{"name": "worker", "volumeMounts": [{"name": "secrets", "mountPath": SECRETS, "readOnly": True}]}]
        pod["volumes"] = [{"name": "secrets", "csi": {"driver": "secrets-store-gke.csi.k8s.io", "readOnly": True, "volumeAttributes": {"secretProviderClass": "worker"}}}]
    files["worker.yaml"] = document({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "worker", "namespace": "tandem"}, "spec": {"template": {"spec": pod}}})
    # Base and component are written for the namespace `tandem`.
    namespace = {} if of["namespace"] == "tandem" else {"namespace": of["namespace"]}
    files["kustomization.yaml"] = document(COMPONENT | namespace | component)
    files = {f"worker/{name}": text for name, text in files.items()}
    top = {"components": ["worker"]}
    if env["TANDEM__DOORBELL__KIND"] == "rabbitmq":
        top["components"].append("../../../../workers/rabbitmq")
        top["patches"] = [{"path": "rabbitmq.yaml"}]
        files["rabbitmq.yaml"] = document(callers("rabbitmq", "rabbitmq", 5672, ranges(outputs, "run", "workers")))
    return files | {"kustomization.yaml": document(COMPONENT | top)}


def server(name, of, outputs, with_gateway):
    """The files of one model server."""
    if not NAME.match(name):
        sys.exit(f"{name}: a model that pods serve is named in lower-case letters, digits and hyphens, at most 40, as its service is")
    bucket, _, folder = of["weights"].removeprefix("gs://").partition("/")
    if folder != name:
        sys.exit(f"{name}: its weights are expected in gs://{bucket}/{name}, not in {of['weights']}")
    weights_gib = math.ceil(of["weights_gib"])
    data = {
        "name": f"vllm-{name}", "gateway_service": f"vllm-{name}-gateway", "model": name, "project": outputs["project_id"],
        "internal_domain": outputs["internal_domain"], "image": of["image"], "bucket": bucket, "machine_type": of["machine_type"],
        "accelerator": of["accelerator"], "gpu_count": of["gpu_count"], "cpu": of["requests"]["cpu"], "memory": of["requests"]["memory"],
        # The weights once in the cache, and room for an image and what vLLM compiles.
        "cache_size": f"{weights_gib + 10}Gi", "boot_disk_gb": 100 + 2 * weights_gib,
        "min_replicas": of["min_replicas"], "max_replicas": of["max_replicas"],
    }
    data |= {key.replace("-", "_"): of["vllm_args"][key] for key in CHECKED}
    components = ["../../../../../models/gateway"] if with_gateway else []
    # What only this model needs is put behind what all have.
    more = [f"--{key}={value}" if value else f"--{key}" for key, value in sorted(of["vllm_args"].items()) if key not in CHECKED]
    patches = {"patches": [{"path": "arguments.yaml", "target": {"kind": "Deployment"}}]} if more else {}
    arguments = [{"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": word} for word in more]
    return ({f"{name}/arguments.yaml": document(arguments)} if more else {}) | {
        f"{name}/model.yaml": document(values(f"model-{name}", data)),
        f"{name}/kustomization.yaml": document({
            "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization",
            "resources": ["model.yaml", "../../../../../models/vllm"],
            "components": [*components, "../../../../../models/vllm-platform"],
        } | patches),
    }


def models(outputs, region, with_gateway):
    """The files of models/platform."""
    servers = {name: of for name, of in outputs["models"].items() if of["region"] == region}
    if not servers:
        return {}
    keys = {(of["key_secret"], of["key_version"]) for of in servers.values()}
    if len(keys) != 1 or None in next(iter(keys)):
        sys.exit("The platform names no version of vLLM's key: provider_keys.VLLM_API_KEY.")
    health_checkers = ["35.191.0.0/16", "130.211.0.0/22"] if with_gateway else []
    component = {
        "resources": ["platform.yaml", "secrets.yaml", *sorted(servers)],
        "components": ["../../../../models/platform", *(["../../../../models/gateway-base"] if with_gateway else [])],
        "patches": [{"path": "callers.yaml"}],
    }
    files = {
        "platform.yaml": document(values("platform", {"service_account": next(iter(servers.values()))["service_account"]})),
        "secrets.yaml": document(secret_class("vllm", "models", outputs["project_id"], {"api-key": keys.pop()})),
        "callers.yaml": document(callers("callers", "models", 8000, ranges(outputs, "run", "workers", "proxy") + health_checkers)),
        "kustomization.yaml": document(COMPONENT | component),
    }
    for name, of in sorted(servers.items()):
        files |= server(name, of, outputs, with_gateway)
    return files


def write(folder, files):
    """Exactly these files; without any there is no folder."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def differences(folder, files):
    there = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}
    return [str(folder / name) for name in sorted(there.keys() | files.keys()) if there.get(name) != files.get(name)]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("outputs", type=Path, help="what `terraform output -json` wrote")
    parser.add_argument("region", help="region of the clusters")
    parser.add_argument("--tree", type=Path, default=KUBERNETES, help="another copy of infra/kubernetes")
    parser.add_argument("--only", choices=["models", "workers"], help="of one of the clusters")
    parser.add_argument("--gateway", action="store_true", help="models are also reached through an internal gateway")
    parser.add_argument("--check", action="store_true", help="only say what is out of date")
    given = parser.parse_args()

    outputs = {name: output["value"] for name, output in json.loads(given.outputs.read_text()).items()}
    overlays = given.tree / "overlays" / outputs["environment"]
    clusters = outputs["clusters"]
    folders = {}
    if given.only != "models" and given.region in clusters["workers"]:
        folders[overlays / "workers" / "platform"] = workers(outputs, given.region)
    if given.only != "workers" and given.region in clusters["models"]:
        folders[overlays / "models" / "platform"] = models(outputs, given.region, given.gateway)
    if not folders:
        sys.exit(f"The platform has no cluster in {given.region}; it has them in {', '.join(sorted(clusters['workers'] | clusters['models']))}.")
    if given.check:
        stale = [name for folder, files in folders.items() for name in differences(folder, files)]
        sys.exit("Not what the example says: " + ", ".join(stale) if stale else 0)
    for folder, files in folders.items():
        write(folder, files)


if __name__ == "__main__":
    main()
