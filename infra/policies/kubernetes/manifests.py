"""What policies ask about manifests: which pods there are, what they want, what belongs to what."""

import json
from pathlib import Path

FACTS = json.loads((Path(__file__).parents[2] / "data" / "gpus.json").read_text())
GPU = "nvidia.com/gpu"
UNITS = {"m": 0.001, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def quantity(text):
    """Kubernetes' way to write a number."""
    text = str(text)
    for unit in sorted(UNITS, key=len, reverse=True):
        if text.endswith(unit):
            return float(text[: -len(unit)]) * UNITS[unit]
    return float(text)


def name(thing):
    return thing["metadata"]["name"]


def namespace(thing):
    return thing["metadata"].get("namespace")


def title(thing):
    return f"{thing['kind']} {name(thing)}"


def get(thing, *path, default=None):
    """What is at a place that may not be there."""
    for key in path:
        if not isinstance(thing, dict) or thing.get(key) is None:
            return default
        thing = thing[key]
    return thing


def matches(selector, labels):
    """Whether a plain map of labels selects these."""
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())


class Workload:
    """Something that makes pods."""

    def __init__(self, thing):
        self.thing = thing
        template = thing["spec"]["jobTemplate"]["spec"]["template"] if thing["kind"] == "CronJob" else thing["spec"]["template"]
        self.labels = get(template, "metadata", "labels", default={})
        self.annotations = get(template, "metadata", "annotations", default={})
        self.pod = template["spec"]
        self.containers = self.pod.get("containers", [])
        self.all_containers = self.containers + self.pod.get("initContainers", [])

    def __str__(self):
        return title(self.thing)

    @property
    def vllm(self):
        """The container that is a model server."""
        return next((each for each in self.containers if "vllm" in words(each)), None)

    @property
    def gpus(self):
        return sum(int(get(each, "resources", "limits", GPU, default=0)) for each in self.containers)

    def requested(self, resource):
        """What its pod asks for: containers, sidecars, and the one that mounts a bucket."""
        sidecars = [each for each in self.pod.get("initContainers", []) if each.get("restartPolicy") == "Always"]
        wanted = sum(quantity(get(each, "resources", "requests", resource, default=0)) for each in self.containers + sidecars)
        if self.annotations.get("gke-gcsfuse/volumes") == "true":
            limit = self.annotations.get(f"gke-gcsfuse/{resource}-limit", 0)
            wanted += quantity(self.annotations.get(f"gke-gcsfuse/{resource}-request", limit))
        return wanted


def words(container):
    """The words of a container's command line."""
    return " ".join(container.get("command", []) + container.get("args", [])).replace('"', " ").split()


def argument(container, option):
    """The value of --option=value; None when it is not there."""
    for word in container.get("args", []):
        if word.startswith(f"--{option}="):
            return word.partition("=")[2]
    return None


class Cluster:
    """All that is applied to one cluster."""

    def __init__(self, things):
        self.things = things
        self.workloads = [Workload(each) for each in things if each["kind"] in ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob")]

    def of_kind(self, *kinds):
        return [each for each in self.things if each["kind"] in kinds]

    @property
    def servers(self):
        """Model servers."""
        return [each for each in self.workloads if each.vllm]

    def selected_by(self, service):
        return [each for each in self.workloads if namespace(each.thing) == namespace(service) and matches(get(service, "spec", "selector"), each.labels)]

    def scalers(self, workload):
        """What decides how many there are: KEDA's objects and plain autoscalers."""
        return [
            each
            for each in self.of_kind("ScaledObject", "HorizontalPodAutoscaler")
            if get(each, "spec", "scaleTargetRef", "name") == name(workload.thing) and namespace(each) == namespace(workload.thing)
        ]

    def most_replicas(self, workload):
        numbers = [get(each, "spec", "maxReplicaCount") or get(each, "spec", "maxReplicas") or 1 for each in self.scalers(workload)]
        return max([*numbers, get(workload.thing, "spec", "replicas", default=1)])

    def rules(self, workload):
        """The machines that a pod may be put on, as its compute class has them; none without a class."""
        wanted = get(workload.pod, "nodeSelector", "cloud.google.com/compute-class")
        return [rule for each in self.of_kind("ComputeClass") if name(each) == wanted for rule in each["spec"]["priorities"]]
