# What runs on Cloud Run, in every region, after the schema has been brought to this version.

locals {
  database_proxy = { image = var.images.database_proxy, args = module.database.proxy_args }

  telemetry = merge(
    { TANDEM__TELEMETRY__GOOGLE_CLOUD_PROJECT = var.project_id },
    var.images.collector == null ? {} : { TANDEM__TELEMETRY__OTLP_ENDPOINT = "http://127.0.0.1:4317" },
  )

  # The same in every process that keeps or finds batches.
  shared = merge(
    {
      # Processes make their data folder even where they keep nothing in it; images are read-only.
      TANDEM__DATA__DIR           = "/tmp/tandem"
      TANDEM__DATA__BLOBS_URL     = "gs://${module.storage.names["blobs"]}"
      TANDEM__EVENTS__USAGE_TOPIC = module.messaging.topics["usage-events"]
      TANDEM__DOORBELL__KIND      = var.doorbell
    },
    var.doorbell != "pubsub" ? {} : {
      TANDEM__DOORBELL__PUBSUB__TOPIC             = module.messaging.topics["doorbell"]
      TANDEM__DOORBELL__PUBSUB__SUBSCRIPTION      = "projects/${var.project_id}/subscriptions/${module.messaging.subscriptions["doorbell"]}"
      TANDEM__DOORBELL__PUBSUB__DEAD_LETTER_TOPIC = module.messaging.dead_letter_topics["doorbell"]
    },
    var.submissions == null ? {} : {
      TANDEM__EVENTS__BATCH_TOPIC = module.messaging.topics["batch-events"]
    },
    try(length(var.submissions.replies), 0) == 0 ? {} : {
      TANDEM__EVENTS__REPLY_TOPICS = join(",", [for name in keys(var.submissions.replies) : module.messaging.topics["reply-${name}"]])
    },
  )

  # In workers, which take jobs in.
  intake = merge(
    var.submissions == null ? {} : {
      TANDEM__SUBMISSIONS__KIND                      = "pubsub"
      TANDEM__SUBMISSIONS__PUBSUB__TOPIC             = module.messaging.topics["submissions"]
      TANDEM__SUBMISSIONS__PUBSUB__SUBSCRIPTION      = "projects/${var.project_id}/subscriptions/${module.messaging.subscriptions["submissions"]}"
      TANDEM__SUBMISSIONS__PUBSUB__DEAD_LETTER_TOPIC = module.messaging.dead_letter_topics["submissions"]
    },
    try(length(var.submissions.buckets), 0) == 0 ? {} : {
      TANDEM__SUBMISSIONS__IMPORTS__BUCKETS = join(",", var.submissions.buckets)
    },
  )

  # The same in gateway and worker.
  shared_secrets = merge(
    var.webhooks_key_version == null ? {} : {
      TANDEM__WEBHOOKS__SECRET_KEY = { secret = module.secrets.ids["webhooks"], version = var.webhooks_key_version }
    },
    var.webhooks_old_key_version == null ? {} : {
      TANDEM__WEBHOOKS__OLD_SECRET_KEYS = { secret = module.secrets.ids["webhooks"], version = var.webhooks_old_key_version }
    },
    var.doorbell != "rabbitmq" ? {} : {
      TANDEM__DOORBELL__RABBITMQ__URLS = { secret = module.secrets.ids["rabbitmq"], version = var.rabbitmq_secret_version }
    },
  )

  # How a process of a region reaches that region's orchestrator.
  to_orchestrator = {
    for region in keys(var.regions) : region => {
      TANDEM__ORCHESTRATOR__URL      = module.orchestrator[region].uri
      TANDEM__ORCHESTRATOR__AUDIENCE = local.orchestrator_audience
    }
  }
}

module "migrate" {
  source = "../modules/job"

  name                = "${local.name}-migrate"
  region              = var.primary_region
  image               = var.images.migrate
  command             = ["tandem"]
  args                = ["migrate", "up"]
  service_account     = module.identity.emails["migrate"]
  database_proxy      = local.database_proxy
  egress              = module.network.egress[var.primary_region]
  deletion_protection = var.protected
  labels              = local.labels

  env = {
    TANDEM__DATA__DIR                      = "/tmp/tandem"
    TANDEM__DATA__DATABASE_URL             = module.database.urls["migrate"]
    TANDEM__GATEWAY__IDENTITY__ENVIRONMENT = local.key_environment
  }
}

module "orchestrator" {
  source   = "../modules/service"
  for_each = var.regions

  name                = "${local.name}-orchestrator"
  region              = each.key
  image               = var.images.orchestrator
  command             = ["orchestrator"]
  service_account     = module.identity.emails["orchestrator"]
  exposure            = "internal"
  custom_audiences    = [local.orchestrator_audience]
  billing             = "instance"
  vcpus               = var.orchestrator.vcpus
  memory_mib          = var.orchestrator.memory_mib
  min_instances       = var.orchestrator.min_instances
  max_instances       = var.orchestrator.max_instances
  concurrency         = var.orchestrator.concurrency
  http_port           = 8081
  probes              = { port = 9091 }
  collector_image     = var.images.collector
  egress              = module.network.egress[each.key]
  config_bucket       = { bucket = google_storage_bucket_object.catalog[each.key].bucket, mount_path = "/etc/tandem" }
  deletion_protection = var.protected
  labels              = local.labels

  invokers = {
    gateway = module.identity.members["gateway"]
    worker  = module.identity.members["worker"]
  }

  env = merge(local.telemetry, {
    TANDEM__HTTP__BIND                     = "0.0.0.0:8081"
    TANDEM__ADMIN__BIND                    = "0.0.0.0:9091"
    TANDEM__MODELS__FILE                   = "/etc/tandem/${each.key}/models.toml"
    TANDEM__ORCHESTRATOR__AUDIENCE         = local.orchestrator_audience
    TANDEM__ORCHESTRATOR__SERVICE_ACCOUNTS = "${module.identity.emails["gateway"]},${module.identity.emails["worker"]}"
    TANDEM__TELEMETRY__SERVICE_NAME        = "tandem-orchestrator"
  })

  secrets = {
    for name, version in var.provider_keys : name => {
      secret  = module.secrets.ids[name == "VLLM_API_KEY" ? "vllm" : lower(replace(name, "_", "-"))]
      version = version
    }
  }
}

module "gateway" {
  source   = "../modules/service"
  for_each = var.regions

  name                = "${local.name}-gateway"
  region              = each.key
  image               = var.images.gateway
  command             = concat(["gateway"], var.gateway.settings_file == null ? [] : ["/etc/tandem/gateway.toml"])
  service_account     = module.identity.emails["gateway"]
  exposure            = "public"
  billing             = var.gateway.billing
  vcpus               = var.gateway.vcpus
  memory_mib          = var.gateway.memory_mib
  min_instances       = var.gateway.min_instances
  max_instances       = var.gateway.max_instances
  concurrency         = var.gateway.concurrency
  http_port           = 8080
  probes              = { port = 9090 }
  database_proxy      = local.database_proxy
  collector_image     = var.images.collector
  egress              = module.network.egress[each.key]
  config_bucket       = var.gateway.settings_file == null ? null : { bucket = google_storage_bucket_object.gateway_settings[0].bucket, mount_path = "/etc/tandem" }
  deletion_protection = var.protected
  labels              = local.labels

  env = merge(local.telemetry, local.shared, local.to_orchestrator[each.key], {
    TANDEM__HTTP__BIND                     = "0.0.0.0:8080"
    TANDEM__ADMIN__BIND                    = "0.0.0.0:9090"
    TANDEM__DATA__DATABASE_URL             = module.database.urls["gateway"]
    TANDEM__GATEWAY__IDENTITY__ENVIRONMENT = local.key_environment
    TANDEM__TELEMETRY__SERVICE_NAME        = "tandem-gateway"
  })

  secrets = local.shared_secrets

  # A new version meets a schema that it knows.
  depends_on = [module.migrate]
}

module "console" {
  source   = "../modules/service"
  for_each = var.images.console == null ? {} : var.regions

  name                = "${local.name}-console"
  region              = each.key
  image               = var.images.console
  service_account     = module.identity.emails["console"]
  exposure            = "public"
  billing             = "request"
  max_instances       = var.console.max_instances
  http_port           = var.console.port
  probes              = { port = var.console.port, ready = var.console.ready_path, live = var.console.live_path }
  egress              = module.network.egress[each.key]
  env                 = var.console.env
  deletion_protection = var.protected
  labels              = local.labels
}

module "edge" {
  source = "../modules/edge"

  prefix              = local.name
  domains             = var.domains
  dns_zone            = var.dns_zone
  api                 = { for region, service in module.gateway : region => service.name }
  console             = { for region, service in module.console : region => service.name }
  admin_cidrs         = var.edge.admin_cidrs
  denied_cidrs        = var.edge.denied_cidrs
  firewall_enforces   = var.edge.firewall_enforces
  requests_per_minute = var.edge.requests_per_minute
  labels              = local.labels
}
