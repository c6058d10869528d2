locals {
  name = "${var.prefix}-${var.environment}"

  labels = {
    app         = "tandem"
    environment = var.environment
    managed-by  = "terraform"
  }

  # In the secrets of keys, so that one of a test is seen at a glance.
  key_environment = var.environment == "prod" ? "live" : var.environment

  # For whom ID tokens to orchestrators are made out; the same in every region.
  orchestrator_audience = "https://orchestrator.${local.name}"

  model_regions  = { for name, region in var.regions : name => region if region.models }
  worker_regions = { for name, region in var.regions : name => region if region.workers }

  # Each process of gateway and worker holds so many connections at most: POSTGRES_CONNECTIONS in crates/store/src/store.rs.
  connections_per_process = 16
  connections = {
    gateways  = length(var.regions) * var.gateway.max_instances * local.connections_per_process
    workers   = length(local.worker_regions) * var.workers.max_replicas * local.connections_per_process
    migration = local.connections_per_process
  }
  connections_needed  = sum(values(local.connections))
  connections_allowed = floor(var.database.max_connections * 0.8)
}

data "google_project" "this" {
  project_id = var.project_id
}
