# GPUs of our own: every pair of model and machine is checked, then there are clusters.

module "gpu_fit" {
  source   = "../modules/gpu-fit"
  for_each = var.models

  name               = each.key
  region             = each.value.region
  model              = each.value.model
  architecture       = each.value.architecture
  machine_type       = each.value.machine_type
  gpu_count          = each.value.gpu_count
  format             = each.value.format
  max_model_len      = each.value.max_model_len
  memory_utilisation = each.value.memory_utilisation
}

locals {
  # Known before the clusters are: the catalog needs it.
  services_domains = { for region in keys(local.model_regions) : region => "svc.models-${region}.${local.name}.internal" }
}

module "cluster_models" {
  source   = "../modules/cluster-models"
  for_each = local.model_regions

  project_id          = var.project_id
  name                = "${local.name}-models"
  region              = each.key
  network             = module.network.cluster_networks[each.key].models
  service_account     = module.identity.emails["nodes"]
  dns_domain          = trimprefix(local.services_domains[each.key], "svc.")
  deletion_protection = var.protected
  labels              = local.labels
}

module "cluster_workers" {
  source   = "../modules/cluster-workers"
  for_each = local.worker_regions

  project_id          = var.project_id
  name                = "${local.name}-workers"
  region              = each.key
  network             = module.network.cluster_networks[each.key].workers
  service_account     = module.identity.emails["nodes"]
  nodes               = var.workers.nodes
  spot_nodes          = var.workers.spot_nodes
  deletion_protection = var.protected
  labels              = local.labels
}
