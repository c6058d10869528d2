"""Cloud Run: one door, known callers, images that stay what they are, CPU where it is needed, time for streams."""

from policy import Policy
from shape import blocks, is_literal, number, value

SERVICE = ["google_cloud_run_v2_service"]
SERVICE_AND_JOB = ["google_cloud_run_v2_service", "google_cloud_run_v2_job"]
EVERYBODY = {"allUsers", "allAuthenticatedUsers"}


def templates(conf):
    """The template with containers: a job has one in another."""
    outer = blocks(conf, "template")
    return [inner for template in outer for inner in (blocks(template, "template") or [template])]


def containers(conf):
    return [container for template in templates(conf) for container in blocks(template, "containers")]


def has_one_door(conf):
    ingress = value(conf, "ingress")
    return ingress is not None and "INGRESS_TRAFFIC_ALL" not in str(ingress)


def is_called_by_known_members(conf):
    members = conf.get("members") or conf.get("member") or []
    return not EVERYBODY & {str(member) for member in flat(members)}


def flat(found):
    return [inner for item in found for inner in flat(item)] if isinstance(found, list) else [found]


def has_account_of_its_own(conf):
    accounts = [value(template, "service_account") for template in templates(conf)]
    return bool(accounts) and all(account and "-compute@developer" not in str(account) for account in accounts)


def images_are_pinned(conf):
    images = [value(container, "image") for container in containers(conf)]
    return all(not is_literal(image) or "@sha256:" in image for image in images)


def has_gpu(conf):
    limits = [value(resources, "limits") for container in containers(conf) for resources in blocks(container, "resources")]
    return bool(blocks(conf, "template", "node_selector")) or any("nvidia.com/gpu" in str(found) for found in limits if isinstance(found, dict))


def says_when_it_has_cpu(conf):
    idle = [value(resources, "cpu_idle") for container in containers(conf) for resources in blocks(container, "resources")]
    return len(idle) == len(containers(conf)) and None not in idle and not (has_gpu(conf) and True in idle)


def main_containers(conf):
    return [container for container in containers(conf) if blocks(container, "ports")] or containers(conf)[:1]


def starts_with_patience(conf):
    """A minute at least: that is what the first connection through Direct VPC egress may take."""
    probes = [probe for container in main_containers(conf) for probe in blocks(container, "startup_probe")]
    return bool(probes) and all(number(value(probe, "period_seconds") or 10) * number(value(probe, "failure_threshold") or 3) >= 60 for probe in probes)


def is_killed_for_good_reason(conf):
    probes = [probe for container in main_containers(conf) for probe in blocks(container, "liveness_probe")]
    return bool(probes) and all((number(value(probe, "timeout_seconds") or 1) or 1) >= 3 for probe in probes)


def secrets_are_pinned(conf):
    references = [reference for container in containers(conf) for reference in blocks(container, "env", "value_source", "secret_key_ref")]
    return all(value(reference, "version") not in (None, "latest") for reference in references)


def streams_have_time(conf):
    times = [value(template, "timeout") for template in templates(conf)]
    return all(time is not None and (not is_literal(time) or number(time) >= 600) for time in times)


def concurrency_is_possible(conf):
    found = [value(template, "max_instance_request_concurrency") for template in templates(conf)]
    return all(most is None or not is_literal(most) or 1 <= number(most) <= 1000 for most in found)


def instances_are_bounded(conf):
    return any(value(scaling, "max_instance_count") is not None for scaling in blocks(conf, "scaling") + blocks(conf, "template", "scaling"))


checks = [
    Policy("CKV_TANDEM_1", "A service is reached through the load balancer or the network, never past them", SERVICE, has_one_door),
    Policy(
        "CKV_TANDEM_2",
        "Everybody may call nothing",
        ["google_cloud_run_v2_service_iam_member", "google_cloud_run_v2_service_iam_binding", "google_cloud_run_service_iam_member"],
        is_called_by_known_members,
    ),
    Policy("CKV_TANDEM_3", "A service has an account of its own", SERVICE_AND_JOB, has_account_of_its_own),
    Policy("CKV_TANDEM_4", "Images are pinned by digest", SERVICE_AND_JOB, images_are_pinned),
    Policy("CKV_TANDEM_5", "It is said when there is CPU (cpu_idle), and a GPU always has it", SERVICE, says_when_it_has_cpu),
    Policy("CKV_TANDEM_6", "A start may take the minute that the network takes", SERVICE, starts_with_patience),
    Policy("CKV_TANDEM_7", "A liveness probe has a timeout of three seconds or more", SERVICE, is_killed_for_good_reason),
    Policy("CKV_TANDEM_8", "Versions of secrets are pinned", SERVICE_AND_JOB, secrets_are_pinned),
    Policy("CKV_TANDEM_9", "Streams may run for ten minutes at least", SERVICE, streams_have_time),
    Policy("CKV_TANDEM_10", "An instance runs 1 to 1000 requests at once", SERVICE, concurrency_is_possible),
    Policy("CKV_TANDEM_11", "Instances are bounded: each holds connections to the database", SERVICE, instances_are_bounded),
]
