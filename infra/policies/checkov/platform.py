"""The rest of the platform: load balancer, rights, secrets, messages, machines with GPUs."""

import json
from pathlib import Path

from policy import Forbidden, Policy
from shape import blocks, is_literal, number, value

FACTS = json.loads((Path(__file__).parents[2] / "data" / "gpus.json").read_text())

# Resources of these kinds set the rights of a whole thing and take away what others have granted.
WHOLE_RIGHTS = [
    f"google_{thing}_iam_{kind}"
    for thing in (
        "project", "folder", "organization", "service_account", "storage_bucket", "kms_crypto_key", "kms_key_ring", "pubsub_topic",
        "pubsub_subscription", "bigquery_dataset", "bigquery_table", "secret_manager_secret", "cloud_run_v2_service", "cloud_run_v2_job",
        "artifact_registry_repository", "billing_account",
    )
    for kind in ("policy", "binding")
]


def leaves_time_to_cloud_run(conf):
    return value(conf, "timeout_sec") is None and value(conf, "health_checks") is None


def is_behind_the_firewall(conf):
    return value(conf, "security_policy") is not None


def keeps_its_value_out_of_the_state(conf):
    return value(conf, "secret_data") is None


def never_expires(conf):
    policies = blocks(conf, "expiration_policy")
    return bool(policies) and all("ttl" in policy and value(policy, "ttl") is None for policy in policies)


def machine_has_its_gpus(conf):
    for node in blocks(conf, "node_config"):
        machine = value(node, "machine_type")
        wanted = [number(value(accelerator, "count") or 1) for accelerator in blocks(node, "guest_accelerator")]
        if wanted and is_literal(machine) and machine in FACTS["machines"] and wanted != [FACTS["machines"][machine]["gpu_count"]]:
            return False
    return True


def has_a_pool_account(conf):
    return all("-compute@developer" not in str(value(node, "service_account")) and value(node, "service_account") for node in blocks(conf, "node_config"))


def leaves_external_metrics_to_keda(conf):
    return not any(word in str(value(conf, "chart")) for word in ("stackdriver", "prometheus-adapter", "custom-metrics", "metrics-adapter"))


checks = [
    Policy(
        "CKV_TANDEM_20",
        "A backend of serverless groups has no timeout_sec and no health checks: the API refuses them",
        ["google_compute_backend_service"],
        leaves_time_to_cloud_run,
    ),
    Policy("CKV_TANDEM_21", "A backend is behind Cloud Armor", ["google_compute_backend_service"], is_behind_the_firewall),
    Forbidden("CKV_TANDEM_22", "Rights are added one by one (_iam_member), never set as a whole", WHOLE_RIGHTS),
    Forbidden("CKV_TANDEM_23", "Accounts have no keys", ["google_service_account_key"]),
    Policy(
        "CKV_TANDEM_24",
        "Values of secrets are write-only (secret_data_wo) or added by hand",
        ["google_secret_manager_secret_version"],
        keeps_its_value_out_of_the_state,
    ),
    Policy("CKV_TANDEM_25", "A subscription never expires (expiration_policy with an empty ttl)", ["google_pubsub_subscription"], never_expires),
    Policy("CKV_TANDEM_26", "A machine type has as many GPUs as are asked of it", ["google_container_node_pool"], machine_has_its_gpus),
    Policy("CKV_TANDEM_27", "Nodes have an account of their own", ["google_container_node_pool"], has_a_pool_account),
    Policy("CKV_TANDEM_28", "KEDA provides external metrics, and a cluster has one provider", ["helm_release"], leaves_external_metrics_to_keda),
]
