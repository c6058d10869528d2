# Who acts, where, and with which secrets.

module "identity" {
  source = "../modules/identity"

  project_id    = var.project_id
  prefix        = local.name
  workload_pool = one(distinct([for cluster in concat(values(module.cluster_models), values(module.cluster_workers)) : cluster.workload_pool]))
  deployers     = var.deployers

  accounts = merge(
    {
      gateway      = { description = "The public API", roles = concat(module.database.roles, local.telemetry_roles) }
      orchestrator = { description = "Calls models", roles = concat(["roles/aiplatform.user"], local.telemetry_roles) }
      worker       = { description = "Batches", roles = concat(module.database.roles, local.telemetry_roles), kubernetes = ["${var.workers.namespace}/worker"] }
      migrate      = { description = "Changes the schema of the database", roles = module.database.roles }
      nodes        = { description = "Nodes of the clusters", roles = ["roles/container.defaultNodeServiceAccount"] }
      vllm         = { description = "Model servers", kubernetes = ["models/vllm"] }
      keda         = { description = "Scales by metrics", roles = ["roles/monitoring.viewer"], kubernetes = ["keda/keda-operator"] }
      collector    = { description = "Collects telemetry in the clusters", roles = local.telemetry_roles, kubernetes = ["observability/otel-collector"] }
    },
    var.images.console == null ? {} : { console = { description = "The console" } },
  )
}

locals {
  telemetry_roles = ["roles/cloudtrace.agent", "roles/monitoring.metricWriter"]
}

module "network" {
  source = "../modules/network"

  prefix                = local.name
  regions               = { for name, region in var.regions : name => { cidr = region.cidr } }
  private_services_cidr = var.private_services_cidr
  serverless_egress     = var.serverless_egress
  nat_addresses         = var.nat_addresses
  internal_domain       = "${local.name}.internal."
  labels                = local.labels
}

locals {
  secrets = merge(
    {
      vllm = {
        description = "Key that model servers ask for"
        readers     = { orchestrator = module.identity.members["orchestrator"], vllm = module.identity.members["vllm"] }
      }
    },
    {
      for name in keys(var.provider_keys) : lower(replace(name, "_", "-")) => {
        description = "${name} of the catalog"
        readers     = { orchestrator = module.identity.members["orchestrator"] }
      } if name != "VLLM_API_KEY"
    },
    {
      webhooks = {
        description = "64 hex digits that signing secrets of webhooks are encrypted with: openssl rand -hex 32"
        readers     = { gateway = module.identity.members["gateway"], worker = module.identity.members["worker"] }
      }
    },
    var.doorbell != "rabbitmq" ? {} : {
      rabbitmq = {
        description = "Address of RabbitMQ with user and password: amqps://..."
        readers     = { gateway = module.identity.members["gateway"], worker = module.identity.members["worker"] }
      }
    },
  )
}

module "secrets" {
  source = "../modules/secrets"

  prefix              = local.name
  secrets             = local.secrets
  locations           = var.secret_locations
  deletion_protection = var.protected
  labels              = local.labels
}

module "registry" {
  source = "../modules/registry"

  prefix  = local.name
  region  = var.primary_region
  readers = { nodes = module.identity.members["nodes"] }
  writers = var.registry_writers
  labels  = local.labels
}
