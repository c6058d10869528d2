# What outlives every process.

module "database" {
  source = "../modules/database"

  project_id          = var.project_id
  prefix              = local.name
  region              = var.primary_region
  engine              = var.database.engine
  postgres_version    = var.database.postgres_version
  network_id          = module.network.private_services_network_id
  allocated_range     = module.network.private_services_range
  vcpus               = var.database.vcpus
  memory_mib          = var.database.memory_mib
  max_connections     = var.database.max_connections
  highly_available    = var.database.highly_available
  backup_days         = var.database.backup_days
  recovery_days       = var.database.recovery_days
  deletion_protection = var.protected
  labels              = local.labels

  users = {
    migrate = { email = module.identity.emails["migrate"], access = "owner" }
    gateway = { email = module.identity.emails["gateway"], access = "data" }
    worker  = { email = module.identity.emails["worker"], access = "data" }
  }
}

module "storage" {
  source = "../modules/storage"

  project_id    = var.project_id
  prefix        = local.name
  location      = var.primary_region
  force_destroy = !var.protected
  labels        = local.labels

  buckets = {
    # Files, segments and outputs of batches. The database says how long each lives; soft delete would be paid for every part and segment.
    blobs = { soft_delete_days = 0, writers = { gateway = module.identity.members["gateway"], worker = module.identity.members["worker"] } }
    # Weights of models.
    models = { versioned = true, readers = { vllm = module.identity.members["vllm"] } }
    # The catalog, and settings that the environment can't say. An older version is one command away.
    config = { versioned = true, noncurrent_days = 90, readers = { gateway = module.identity.members["gateway"], orchestrator = module.identity.members["orchestrator"] } }
  }
}

locals {
  keys_of_catalog = distinct([for found in regexall("api_key_env\\s*=\\s*\"([A-Z0-9_]+)\"", file("${path.root}/${var.catalog_file}")) : found[0]])
}

resource "google_storage_bucket_object" "catalog" {
  for_each = var.regions

  bucket       = module.storage.names["config"]
  name         = "${each.key}/models.toml"
  content_type = "application/toml"
  content = templatefile("${path.root}/${var.catalog_file}", {
    project          = var.project_id
    region           = each.key
    services_domain  = try(local.services_domains[each.key], "")
    services_domains = local.services_domains
  })

  lifecycle {
    precondition {
      condition     = length(setsubtract(local.keys_of_catalog, keys(var.provider_keys))) == 0
      error_message = "${var.catalog_file} names keys that provider_keys lacks: ${join(", ", setsubtract(local.keys_of_catalog, keys(var.provider_keys)))}."
    }
  }
}

resource "google_storage_bucket_object" "gateway_settings" {
  count = var.gateway.settings_file == null ? 0 : 1

  bucket       = module.storage.names["config"]
  name         = "gateway.toml"
  content_type = "application/toml"
  content      = file("${path.root}/${var.gateway.settings_file}")
}

module "messaging" {
  source = "../modules/messaging"

  project_id     = var.project_id
  project_number = data.google_project.this.number
  prefix         = local.name
  labels         = local.labels

  topics = merge(
    {
      usage-events = {
        schema     = file("${path.module}/../../schemas/usage_event.proto")
        publishers = { gateway = module.identity.members["gateway"], worker = module.identity.members["worker"] }
      }
    },
    var.doorbell != "pubsub" ? {} : {
      # Workers ring too: the sweep does for what nobody took up.
      doorbell = {
        publishers   = { gateway = module.identity.members["gateway"], worker = module.identity.members["worker"] }
        subscription = { subscribers = { worker = module.identity.members["worker"] }, minimum_backoff = "1s", maximum_backoff = "60s", max_delivery_attempts = 100 }
      }
    },
    {
      for name, topic in {
        # A job waits for as long as the database is away, so it may be delivered often before it is given up.
        submissions = {
          publishers   = try(var.submissions.senders, {})
          subscription = { subscribers = { worker = module.identity.members["worker"] }, max_delivery_attempts = 100 }
        }
        batch-events = {
          publishers   = { gateway = module.identity.members["gateway"], worker = module.identity.members["worker"] }
          listeners    = try(var.submissions.listeners, {})
          dead_letters = false
        }
      } : name => topic if var.submissions != null
    },
    {
      for name, listener in try(var.submissions.replies, {}) : "reply-${name}" => {
        publishers   = { gateway = module.identity.members["gateway"], worker = module.identity.members["worker"] }
        listeners    = { (name) = listener }
        dead_letters = false
      }
    },
  )
}

# Inputs of jobs that are objects. The bucket may be another project's, whose owner then has to allow this.
resource "google_storage_bucket_iam_member" "job_inputs" {
  for_each = var.submissions == null ? toset([]) : var.submissions.buckets

  bucket = each.key
  role   = "roles/storage.objectViewer"
  member = module.identity.members["worker"]
}

module "usage" {
  source = "../modules/usage"

  project_id          = var.project_id
  pubsub_agent        = module.messaging.agent
  prefix              = local.name
  location            = var.primary_region
  topic               = module.messaging.topics["usage-events"]
  dead_letter_topic   = module.messaging.dead_letter_topics["usage-events"]
  retention_days      = var.usage.retention_days
  readers             = var.usage.readers
  self_hosted         = var.usage.self_hosted
  deletion_protection = var.protected
  labels              = local.labels
}
