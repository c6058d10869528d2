mock_provider "google" {
  override_during = plan
}

variables {
  project_id      = "acme-dev-1"
  name            = "tandem-dev-workers"
  region          = "asia-south1"
  network         = { network = "n", subnetwork = "s", pods_range = "pods", services_range = "services" }
  service_account = "tandem-dev-nodes@acme-dev-1.iam.gserviceaccount.com"
}

run "workers_run_on_spot_nodes_and_only_they" {
  command = plan
  assert {
    condition     = google_container_node_pool.main["spot"].node_config[0].spot && google_container_node_pool.main["spot"].node_config[0].taint[0].effect == "NO_SCHEDULE"
    error_message = "Nothing else lands on a node that may vanish."
  }
  assert {
    condition     = google_container_node_pool.main["spot"].autoscaling[0].total_min_node_count == 0
    error_message = "Without batches there are no nodes for them."
  }
}

run "without_spot_there_is_one_pool" {
  command = plan
  variables {
    spot_nodes = { max = 0 }
  }
  assert {
    condition     = length(google_container_node_pool.main) == 1
    error_message = "Only ordinary nodes."
  }
}

run "pods_act_by_workload_identity_on_shielded_nodes" {
  command = plan
  assert {
    condition     = alltrue([for pool in google_container_node_pool.main : pool.node_config[0].workload_metadata_config[0].mode == "GKE_METADATA" && pool.node_config[0].shielded_instance_config[0].enable_secure_boot && pool.node_config[0].service_account == var.service_account])
    error_message = "No pod gets the node's credentials."
  }
  assert {
    condition     = google_container_cluster.main.workload_identity_config[0].workload_pool == "acme-dev-1.svc.id.goog" && google_container_cluster.main.datapath_provider == "ADVANCED_DATAPATH"
    error_message = "Workload Identity and NetworkPolicies work."
  }
}

run "nodes_are_private_and_the_control_plane_asks_iam" {
  command = plan
  assert {
    condition     = google_container_cluster.main.private_cluster_config[0].enable_private_nodes && !google_container_cluster.main.control_plane_endpoints_config[0].ip_endpoints_config[0].enabled
    error_message = "No node and no control plane has an address to attack."
  }
}

run "no_node_for_keda_is_refused" {
  command = plan
  variables {
    nodes = { min = 0 }
  }
  expect_failures = [var.nodes]
}

run "fewer_at_most_than_at_least_are_refused" {
  command = plan
  variables {
    spot_nodes = { min = 5, max = 2 }
  }
  expect_failures = [var.spot_nodes]
}

run "the_default_account_is_refused" {
  command = plan
  variables {
    service_account = "123456789012-compute@developer.gserviceaccount.com"
  }
  expect_failures = [var.service_account]
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
    name = "Workers"
  }
  expect_failures = [var.name]
}
