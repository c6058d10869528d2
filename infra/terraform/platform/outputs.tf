output "connection_budget" {
  description = "Connections to the database that all processes together may hold, by kind, and how many the database takes."
  value       = merge(local.connections, { needed = local.connections_needed, allowed = local.connections_allowed })

  precondition {
    condition     = local.connections_needed <= local.connections_allowed
    error_message = "${local.connections_needed} connections may be asked for (gateways ${local.connections.gateways}, workers ${local.connections.workers}, migration ${local.connections.migration}; ${local.connections_per_process} for each process), and 80 % of database.max_connections = ${var.database.max_connections} are ${local.connections_allowed}. Lower gateway.max_instances or workers.max_replicas, or raise max_connections (and memory_mib, 12 MiB for each)."
  }
}

output "project_id" {
  description = "Project of this environment."
  value       = var.project_id
}

output "environment" {
  description = "dev, stage or prod."
  value       = var.environment
}

output "domains" {
  description = "Domains that the API answers at."
  value       = var.domains
}

output "address" {
  description = "Address that the domains point to."
  value       = module.edge.address
}

output "dns_records" {
  description = "Records that the domains need, where dns_zone is null."
  value       = module.edge.dns_records
}

output "images" {
  description = "What the names of our images begin with, and those of Docker Hub's through the cache."
  value       = { ours = module.registry.images, docker_hub = module.registry.docker_hub }
}

output "buckets" {
  description = "Names of the buckets: blobs, models, config."
  value       = module.storage.names
}

output "secrets" {
  description = "Names of the secrets in Secret Manager; values are added by hand."
  value       = module.secrets.ids
}

output "nat_addresses" {
  description = "By region, the fixed addresses that providers see."
  value       = module.network.nat_addresses
}

output "clusters" {
  description = "By region, the clusters: names and the control planes' names for kubectl and Helm."
  value = {
    models  = { for region, cluster in module.cluster_models : region => { name = cluster.name, endpoint = cluster.dns_endpoint, services_domain = cluster.services_domain } }
    workers = { for region, cluster in module.cluster_workers : region => { name = cluster.name, endpoint = cluster.dns_endpoint } }
  }
}

output "models" {
  description = "By deployment, what its pods need: accelerator, number of GPUs, vLLM's arguments, room in the KV cache, replicas, which account they act as; and the address that the catalog names them by."
  value = {
    for name, fit in module.gpu_fit : name => merge(fit.fit, {
      vllm_args       = merge(var.models[name].vllm_args, fit.fit.vllm_args)
      region          = var.models[name].region
      min_replicas    = var.models[name].min_replicas
      max_replicas    = var.models[name].max_replicas
      endpoint        = "http://vllm-${name}.models.${local.services_domains[var.models[name].region]}:8000/v1"
      service_account = module.identity.emails["vllm"]
      weights         = "gs://${module.storage.names["models"]}/${name}"
      key_secret      = module.secrets.ids["vllm"]
      key_version     = try(var.provider_keys["VLLM_API_KEY"], null)
      image           = var.images.vllm
    })
  }
}

output "workers" {
  description = "By region, what the workers' pods need: environment, secrets, proxy to the database, most replicas, and which account they act as."
  value = {
    for region in keys(local.worker_regions) : region => {
      image           = var.images.worker
      namespace       = var.workers.namespace
      max_replicas    = var.workers.max_replicas
      service_account = module.identity.emails["worker"]
      database_proxy  = local.database_proxy
      secrets         = local.shared_secrets
      env = merge({ TANDEM__TELEMETRY__GOOGLE_CLOUD_PROJECT = var.project_id }, local.shared, local.intake, local.to_orchestrator[region], {
        TANDEM__ADMIN__BIND              = "0.0.0.0:9092"
        TANDEM__DATA__DATABASE_URL       = module.database.urls["worker"]
        TANDEM__TELEMETRY__SERVICE_NAME  = "tandem-worker"
        TANDEM__TELEMETRY__OTLP_ENDPOINT = "http://otel-collector.observability.svc.cluster.local:4317"
      })
    }
  }
}

output "messages" {
  description = "Full names of topics, by ours: senders publish jobs to `submissions`, listeners subscribe to `batch-events` and to `reply-NAME`."
  value       = module.messaging.topics
}

output "service_accounts" {
  description = "Addresses of the accounts, by service."
  value       = module.identity.emails
}

output "usage_dataset" {
  description = "Dataset of usage in BigQuery."
  value       = module.usage.dataset
}

output "network_addresses" {
  description = "By region, the addresses of pods and services, for NetworkPolicies."
  value       = module.network.pods_cidrs
}

output "internal_domain" {
  description = "Domain of the private zone: gateways in front of models have their names in it."
  value       = trimsuffix(module.network.internal_zone.domain, ".")
}
