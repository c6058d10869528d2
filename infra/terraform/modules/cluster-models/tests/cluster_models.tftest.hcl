mock_provider "google" {
  override_during = plan
}

variables {
  project_id      = "acme-dev-1"
  name            = "tandem-dev-models"
  region          = "asia-south1"
  network         = { network = "n", subnetwork = "s", pods_range = "pods", services_range = "services" }
  service_account = "tandem-dev-nodes@acme-dev-1.iam.gserviceaccount.com"
  dns_domain      = "models-asia-south1.tandem.internal"
}

run "pods_are_found_from_the_whole_network" {
  command = plan
  assert {
    condition     = google_container_cluster.main.dns_config[0].additive_vpc_scope_dns_domain == "models-asia-south1.tandem.internal" && google_container_cluster.main.dns_config[0].cluster_dns_scope == "CLUSTER_SCOPE"
    error_message = "Without the additive scope a ClusterIP service is found in its cluster only; Autopilot refuses the full VPC scope."
  }
  assert {
    condition     = output.services_domain == "svc.models-asia-south1.tandem.internal"
    error_message = "Names end in the published domain."
  }
}

run "nodes_are_private_and_the_control_plane_asks_iam" {
  command = plan
  assert {
    condition     = google_container_cluster.main.private_cluster_config[0].enable_private_nodes && !google_container_cluster.main.control_plane_endpoints_config[0].ip_endpoints_config[0].enabled
    error_message = "No node and no control plane has an address to attack."
  }
}

run "autopilot_decides_what_it_decides" {
  command = plan
  assert {
    condition     = google_container_cluster.main.enable_autopilot && length(google_container_cluster.main.workload_identity_config) == 0 && length(google_container_cluster.main.node_config) == 0
    error_message = "Settings that Autopilot owns are not given."
  }
  assert {
    condition     = google_container_cluster.main.cluster_autoscaling[0].auto_provisioning_defaults[0].service_account == var.service_account
    error_message = "Nodes run as their own account."
  }
}

run "gpu_metrics_are_collected" {
  command = plan
  assert {
    condition     = contains(google_container_cluster.main.monitoring_config[0].enable_components, "DCGM") && google_container_cluster.main.monitoring_config[0].managed_prometheus[0].enabled
    error_message = "GPUs and vLLM are scraped by managed Prometheus."
  }
}

run "the_default_account_is_refused" {
  command = plan
  variables {
    service_account = "123456789012-compute@developer.gserviceaccount.com"
  }
  expect_failures = [var.service_account]
}

run "every_clusters_domain_is_refused" {
  command = plan
  variables {
    dns_domain = "svc.cluster.local"
  }
  expect_failures = [var.dns_domain]
}

run "an_unknown_channel_is_refused" {
  command = plan
  variables {
    release_channel = "NIGHTLY"
  }
  expect_failures = [var.release_channel]
}

run "a_name_with_capitals_is_refused" {
  command = plan
  variables {
    name = "Models"
  }
  expect_failures = [var.name]
}
