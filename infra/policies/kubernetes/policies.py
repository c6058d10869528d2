"""What no manifest of ours may say. A policy takes all that is applied to one cluster and yields a sentence for each mistake."""

import json
import re

import promql_parser
from manifests import FACTS, GPU, argument, get, matches, name, namespace, quantity, title, words

POLICIES = {}
PINNED = re.compile(r"@sha256:[0-9a-f]{64}$")


def policy(function):
    """A policy is called as its function is, with hyphens."""
    POLICIES[function.__name__.replace("_", "-")] = function
    return function


@policy
def images_are_pinned(cluster):
    for workload in cluster.workloads:
        for container in workload.all_containers:
            if not PINNED.search(container["image"]):
                yield f"{workload}: the image {container['image']} has no digest; a tag can come to mean another image"


@policy
def services_lead_to_pods(cluster):
    """A virtual address is known inside its cluster only: model servers would be reached from nowhere else."""
    behind_gateways = {get(ref, "name") for route in cluster.of_kind("HTTPRoute") for rule in route["spec"]["rules"] for ref in rule["backendRefs"]}
    for service in cluster.of_kind("Service"):
        if any(each.vllm for each in cluster.selected_by(service)) and name(service) not in behind_gateways:
            internal = get(service, "metadata", "annotations", "networking.gke.io/load-balancer-type") == "Internal"
            is_balancer = get(service, "spec", "type") == "LoadBalancer" and internal
            if get(service, "spec", "clusterIP") != "None" and not is_balancer:
                yield f"{title(service)} has a virtual address: make it headless (clusterIP: None)"


@policy
def every_server_has_a_name(cluster):
    for workload in cluster.servers:
        if not any(workload in cluster.selected_by(service) for service in cluster.of_kind("Service")):
            yield f"{workload}: no service leads to it"


@policy
def servers_ask_for_a_key(cluster):
    for workload in cluster.servers:
        container = workload.vllm
        given = [each for each in container.get("env", []) if each["name"] == "VLLM_API_KEY"]
        from_file = "VLLM_API_KEY" in " ".join(words(container)) and any(
            get(volume, "csi", "driver") == "secrets-store-gke.csi.k8s.io" for volume in workload.pod.get("volumes", [])
        )
        if any("value" in each for each in given) or argument(container, "api-key"):
            yield f"{workload}: the key is written down; it comes from Secret Manager"
        elif not from_file and not given:
            yield f"{workload}: vLLM has no key, so whoever reaches it may use it"


@policy
def loading_has_time(cluster):
    """Half an hour for a node, an image and weights."""
    for workload in cluster.servers:
        probe = workload.vllm.get("startupProbe")
        if not probe:
            yield f"{workload}: without a startup probe the liveness probe kills it while it loads"
        elif probe.get("periodSeconds", 10) * probe.get("failureThreshold", 3) < 1800:
            yield f"{workload}: its startup probe gives up before half an hour"


@policy
def probes_are_patient(cluster):
    for workload in cluster.workloads:
        for container in workload.all_containers:
            probe = container.get("livenessProbe")
            if probe and (probe.get("timeoutSeconds", 1) < 3 or probe.get("failureThreshold", 3) * probe.get("periodSeconds", 10) < 30):
                yield f"{workload}: {container['name']} is killed for a slow moment: a liveness probe waits for 3 s at least, and fails for 30 s"


@policy
def disks_have_one_pod(cluster):
    """A disk that one node mounts holds up the second replica, and every rollout."""
    claims = {(namespace(each), name(each)): get(each, "spec", "accessModes", default=[]) for each in cluster.of_kind("PersistentVolumeClaim")}
    for workload in cluster.workloads:
        for volume in workload.pod.get("volumes", []):
            modes = claims.get((namespace(workload.thing), get(volume, "persistentVolumeClaim", "claimName")), [])
            if any(mode.startswith("ReadWriteOnce") for mode in modes) and cluster.most_replicas(workload) > 1:
                yield f"{workload} may have {cluster.most_replicas(workload)} replicas, and the disk {volume['name']} is mounted by one node"


@policy
def gpus_fit_a_machine(cluster):
    counts = {shape["gpu_count"] for shape in FACTS["machines"].values()}
    for workload in cluster.workloads:
        wanted = workload.gpus
        if not wanted:
            continue
        if any(get(each, "resources", "requests", GPU) != get(each, "resources", "limits", GPU) for each in workload.containers):
            yield f"{workload}: as many GPUs are requested as it is limited to"
        if wanted not in counts:
            yield f"{workload} wants {wanted} GPUs; machines have {', '.join(map(str, sorted(counts)))}, and a pod never spans two"
        parallel = argument(workload.vllm, "tensor-parallel-size") if workload.vllm else None
        if workload.vllm and int(parallel or 1) != wanted:
            yield f"{workload} has {wanted} GPUs, and vLLM uses {parallel or 1} of them"
        rules = cluster.rules(workload)
        if not rules:
            yield f"{workload}: its compute class is not here, so nobody knows which machines it gets"
        for rule in rules:
            machine = FACTS["machines"].get(rule["machineType"])
            if machine is None:
                yield f"{workload}: infra/data/gpus.json has no machine {rule['machineType']} with GPUs"
            elif (machine["gpu"], machine["gpu_count"]) != (rule["gpu"]["type"], rule["gpu"]["count"]):
                yield f"{workload}: {rule['machineType']} has {machine['gpu_count']} x {machine['gpu']}, not {rule['gpu']['count']} x {rule['gpu']['type']}"
            elif machine["gpu_count"] != wanted:
                yield f"{workload} wants {wanted} GPUs of {rule['machineType']}, which has {machine['gpu_count']}"


@policy
def pods_fit_their_machine(cluster):
    """A tenth of the processors and three twentieths of the memory are the node's own."""
    for workload in cluster.workloads:
        for machine in {rule["machineType"] for rule in cluster.rules(workload)} & FACTS["machines"].keys():
            shape = FACTS["machines"][machine]
            cpu, memory = workload.requested("cpu"), workload.requested("memory") / 2**30
            if cpu > shape["vcpus"] * 0.9:
                yield f"{workload} asks for {cpu:g} processors; {machine} can give {shape['vcpus'] * 0.9:g} of its {shape['vcpus']}"
            if memory > shape["memory_gb"] * 0.85:
                yield f"{workload} asks for {memory:g} GiB; {machine} can give {shape['memory_gb'] * 0.85:g} of its {shape['memory_gb']}"


@policy
def gpus_share_memory(cluster):
    for workload in cluster.servers:
        memory = {volume["name"] for volume in workload.pod.get("volumes", []) if get(volume, "emptyDir", "medium") == "Memory"}
        mounted = [mount["name"] for mount in workload.vllm.get("volumeMounts", []) if mount["mountPath"] == "/dev/shm"]
        if int(argument(workload.vllm, "tensor-parallel-size") or 1) > 1 and not memory & set(mounted):
            yield f"{workload}: GPUs of one model need memory at /dev/shm (emptyDir, medium: Memory)"


@policy
def pods_have_accounts_of_their_own(cluster):
    accounts = {(namespace(each), name(each)): each for each in cluster.of_kind("ServiceAccount")}
    for workload in cluster.workloads:
        account = get(workload.pod, "serviceAccountName", default="default")
        found = accounts.get((namespace(workload.thing), account))
        if account == "default" or found is None:
            yield f"{workload} runs as {account}: give it an account of its own, beside it"
        elif not str(get(found, "metadata", "annotations", "iam.gke.io/gcp-service-account", default="")).endswith(".iam.gserviceaccount.com"):
            yield f"{workload}: {account} acts as nobody in Google Cloud (iam.gke.io/gcp-service-account)"


@policy
def resources_are_said(cluster):
    for workload in cluster.workloads:
        for container in workload.all_containers:
            resources = container.get("resources", {})
            missing = [f"requests.{key}" for key in ("cpu", "memory") if not get(resources, "requests", key)]
            missing += [] if get(resources, "limits", "memory") else ["limits.memory"]
            if missing:
                yield f"{workload}: {container['name']} does not say {', '.join(missing)}"


@policy
def gateways_have_time(cluster):
    """An Application Load Balancer cuts answers after 30 seconds unless it is told otherwise, and asks for / unless it is told where."""
    backends = {ref["name"] for route in cluster.of_kind("HTTPRoute") for rule in route["spec"]["rules"] for ref in rule["backendRefs"]}
    times = {each["spec"]["targetRef"]["name"]: get(each, "spec", "default", "timeoutSec", default=30) for each in cluster.of_kind("GCPBackendPolicy")}
    checked = {each["spec"]["targetRef"]["name"] for each in cluster.of_kind("HealthCheckPolicy")}
    for backend in sorted(backends):
        if times.get(backend, 30) < 600:
            yield f"Service {backend}: its gateway cuts answers after {times.get(backend, 30)} s (GCPBackendPolicy, timeoutSec)"
        if backend not in checked:
            yield f"Service {backend}: its gateway asks for /, which vLLM does not have (HealthCheckPolicy)"


# How busy a GPU is says nothing: it is all busy with one request. vLLM takes all memory at once. One name is of older versions.
SAYS_NOTHING = re.compile(r"nvidia_gpu_duty_cycle|DCGM_FI|gpu_cache_usage_perc|accelerator.(duty_cycle|memory_used)|gpu_utilization", re.IGNORECASE)
TRIGGERS = {"prometheus"}


@policy
def replicas_follow_what_waits(cluster):
    for scaler in cluster.of_kind("HorizontalPodAutoscaler"):
        if SAYS_NOTHING.search(json.dumps(scaler)):
            yield f"{title(scaler)} follows how busy GPUs are, which says nothing of what waits"
        yield f"{title(scaler)}: KEDA makes autoscalers from ScaledObjects; one that is written by hand needs a provider of metrics beside it"
    for scaler in cluster.of_kind("ScaledObject"):
        for trigger in scaler["spec"]["triggers"]:
            if SAYS_NOTHING.search(json.dumps(trigger)):
                yield f"{title(scaler)} follows a metric that says nothing of what waits, or is no more"
            if trigger["type"] not in TRIGGERS:
                yield f"{title(scaler)}: {trigger['type']} is not used here (gcp-pubsub is deprecated); ask Cloud Monitoring (prometheus)"


@policy
def queries_can_be_read(cluster):
    for scaler in cluster.of_kind("ScaledObject"):
        for trigger in scaler["spec"]["triggers"]:
            query = get(trigger, "metadata", "query")
            if query is None:
                continue
            try:
                promql_parser.parse(query)
            except ValueError as error:
                yield f"{title(scaler)}: {query} is no PromQL: {error}"


@policy
def one_provider_of_external_metrics(cluster):
    """A cluster has one place for it, and KEDA has it."""
    for thing in cluster.of_kind("APIService"):
        if name(thing).endswith("external.metrics.k8s.io"):
            yield f"{title(thing)}: KEDA provides external metrics, and a cluster has one provider"
    for thing in cluster.of_kind("AutoscalingMetric"):
        yield f"{title(thing)}: GKE's adapter would provide external metrics beside KEDA"
    for workload in cluster.workloads:
        for container in workload.all_containers:
            if re.search(r"custom-metrics-stackdriver-adapter|prometheus-adapter", container["image"]):
                yield f"{workload}: KEDA provides external metrics, and a cluster has one provider"


@policy
def scalers_have_the_last_word(cluster):
    for workload in cluster.workloads:
        if cluster.scalers(workload) and get(workload.thing, "spec", "replicas") is not None:
            yield f"{workload}: each apply would set its replicas back; its ScaledObject decides"


@policy
def somebody_decides_how_many(cluster):
    for workload in cluster.workloads:
        if workload.thing["kind"] == "Deployment" and not cluster.scalers(workload) and get(workload.thing, "spec", "replicas") is None:
            yield f"{workload}: one replica, whatever waits; it has neither a ScaledObject nor a number of replicas"


@policy
def sleepers_can_be_woken(cluster):
    """What has no replica has no metrics of its own."""
    for workload in cluster.servers:
        for scaler in cluster.scalers(workload):
            queries = [get(trigger, "metadata", "query", default="") for trigger in get(scaler, "spec", "triggers", default=[])]
            if get(scaler, "spec", "minReplicaCount") == 0 and all("vllm:" in query for query in queries):
                yield f"{title(scaler)}: with no replica there is no metric of vLLM; a trigger of the callers has to wake it"


@policy
def namespaces_are_restricted(cluster):
    policies = cluster.of_kind("NetworkPolicy")
    for space in cluster.of_kind("Namespace"):
        # RabbitMQ's operator does not say all that `restricted` wants to hear.
        level = get(space, "metadata", "labels", "pod-security.kubernetes.io/enforce")
        if level != ("baseline" if name(space) == "rabbitmq" else "restricted"):
            yield f"{title(space)} does not enforce restricted pods"
        denies = [each for each in policies if namespace(each) == name(space) and each["spec"]["podSelector"] == {} and not each["spec"].get("ingress") and not each["spec"].get("egress")]
        if not any(set(each["spec"].get("policyTypes", [])) == {"Ingress", "Egress"} for each in denies):
            yield f"{title(space)}: what no policy names is allowed; one with an empty podSelector denies it"
    known = {name(each) for each in cluster.of_kind("Namespace")}
    for thing in cluster.things:
        if thing["kind"] not in ("Namespace", "ComputeClass", "APIService") and namespace(thing) not in known:
            yield f"{title(thing)} is in the namespace {namespace(thing)}, which is not here"


@policy
def doors_have_a_list(cluster):
    """An empty or missing `from` lets everybody in, and so does a block as large as the internet."""
    for each in cluster.of_kind("NetworkPolicy"):
        for rule in get(each, "spec", "ingress", default=[]):
            blocks = [get(peer, "ipBlock", "cidr") for peer in rule.get("from", [])]
            if not rule.get("from") or any(block and int(block.split("/")[1]) < 8 for block in blocks):
                yield f"{title(each)} in {namespace(each)} lets everybody in"


@policy
def callers_can_come_in(cluster):
    for workload in cluster.servers:
        rules = [
            rule
            for each in cluster.of_kind("NetworkPolicy")
            if namespace(each) == namespace(workload.thing) and matches(get(each, "spec", "podSelector", "matchLabels"), workload.labels)
            for rule in get(each, "spec", "ingress", default=[])
        ]
        if not any(get(peer, "ipBlock") for rule in rules for peer in rule.get("from", [])):
            yield f"{workload}: no address of the network may call it"


@policy
def secrets_are_elsewhere(cluster):
    for thing in cluster.of_kind("Secret"):
        yield f"{title(thing)}: values of secrets are in Secret Manager"
    for each in cluster.of_kind("SecretProviderClass"):
        for wanted in json.loads(each["spec"]["parameters"]["secrets"]):
            if not re.search(r"^projects/[^/]+/secrets/[^/]+/versions/[0-9]+$", wanted["resourceName"]):
                yield f"{title(each)}: {wanted['resourceName']} names no version by its number"
    pairs = [(title(each), key, value) for each in cluster.of_kind("ConfigMap") for key, value in get(each, "data", default={}).items()]
    pairs += [(str(each), env["name"], env.get("value")) for each in cluster.workloads for container in each.all_containers for env in container.get("env", [])]
    for where, key, value in pairs:
        if re.search(r"(SECRET|SECRET_KEYS?|PASSWORD|TOKEN|API_KEY|RABBITMQ__URLS)$", key) and value and not value.startswith("file:"):
            yield f"{where}: {key} is written down; it is file:/... from Secret Manager"


@policy
def servers_end_in_peace(cluster):
    """First nobody calls any more, then what runs ends, then the pod."""
    for workload in cluster.servers:
        pause = get(workload.vllm, "lifecycle", "preStop", "sleep", "seconds", default=0)
        drain = int(argument(workload.vllm, "shutdown-timeout") or 0)
        grace = workload.pod.get("terminationGracePeriodSeconds", 30)
        if not pause or not drain:
            yield f"{workload}: running requests are cut when it ends (preStop, --shutdown-timeout)"
        elif pause + drain >= grace:
            yield f"{workload}: {pause} s and {drain} s are not over when it is killed after {grace} s"


@policy
def queues_have_an_end(cluster):
    for workload in cluster.servers:
        if not argument(workload.vllm, "max-num-queued-reqs"):
            yield f"{workload}: its queue has no end, so nobody is sent elsewhere (--max-num-queued-reqs)"
        if argument(workload.vllm, "scheduling-policy") != "priority":
            yield f"{workload}: batch would not give way to people (--scheduling-policy=priority)"


@policy
def weights_come_from_the_bucket(cluster):
    for workload in cluster.servers:
        env = {each["name"]: each.get("value") for each in workload.vllm.get("env", [])}
        buckets = {volume["name"] for volume in workload.pod.get("volumes", []) if get(volume, "csi", "driver") == "gcsfuse.csi.storage.gke.io" and get(volume, "csi", "readOnly")}
        paths = [mount["mountPath"] for mount in workload.vllm.get("volumeMounts", []) if mount["name"] in buckets]
        model = (workload.vllm.get("args") or [""])[0]
        if not any(model.startswith(f"{path}/") for path in paths) or env.get("HF_HUB_OFFLINE") != "1":
            yield f"{workload}: {model or 'the model'} would be downloaded at each start; weights are in the bucket, mounted read-only (HF_HUB_OFFLINE=1)"


@policy
def pods_may_move(cluster):
    """Nodes are upgraded: not all pods at once, and not none ever."""
    for workload in cluster.workloads:
        if workload.thing["kind"] not in ("Deployment", "StatefulSet"):
            continue
        found = [
            each["spec"]
            for each in cluster.of_kind("PodDisruptionBudget")
            if namespace(each) == namespace(workload.thing) and matches(get(each, "spec", "selector", "matchLabels"), workload.labels)
        ]
        if not found:
            yield f"{workload} has no PodDisruptionBudget"
        elif any("maxUnavailable" not in each or str(each["maxUnavailable"]) in ("0", "0%") for each in found):
            yield f"{workload}: with its PodDisruptionBudget a single pod could never be moved (maxUnavailable of 1 or more)"


@policy
def names_of_services_are_no_settings(cluster):
    """Kubernetes sets variables like VLLM_CHAT_PORT for a service vllm-chat; vLLM takes what begins with VLLM_ for its own."""
    for workload in cluster.servers:
        if workload.pod.get("enableServiceLinks", True):
            yield f"{workload}: services become variables that vLLM takes for its own (enableServiceLinks: false)"


@policy
def work_is_handed_over(cluster):
    for workload in cluster.workloads:
        if not workload.vllm and workload.thing["kind"] == "Deployment" and workload.pod.get("terminationGracePeriodSeconds", 30) < 60:
            yield f"{workload}: a minute at least to hand over what it works on (terminationGracePeriodSeconds)"


@policy
def shared_memory_is_counted(cluster):
    """A volume in memory counts as its pod's memory; without a size it may take half of the node's."""
    for workload in cluster.workloads:
        for volume in workload.pod.get("volumes", []):
            if get(volume, "emptyDir", "medium") == "Memory" and not quantity(get(volume, "emptyDir", "sizeLimit", default=0)):
                yield f"{workload}: the volume {volume['name']} is memory without a bound (sizeLimit)"
