variable "project_id" {
  description = "Project that everything of this environment is in."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id is 6 to 30 lower-case letters, digits and hyphens, as Google Cloud shows it (not the project's number)."
  }
}

variable "environment" {
  description = "dev, stage or prod; part of every name."
  type        = string

  validation {
    condition     = contains(["dev", "stage", "prod"], var.environment)
    error_message = "environment is dev, stage or prod."
  }
}

variable "prefix" {
  description = "First part of every name, before the environment."
  type        = string
  default     = "tandem"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,8}[a-z0-9]$", var.prefix))
    error_message = "prefix is 3 to 10 lower-case letters, digits and hyphens: names of accounts, which begin with it, are short."
  }
}

variable "regions" {
  description = <<-EOT
    Regions by name. `cidr` is the block of addresses that all its subnets are cut from. Each region has a gateway and an orchestrator, and
    where they are asked for a cluster for models and one for workers.
  EOT
  type = map(object({
    cidr    = string
    models  = optional(bool, true)
    workers = optional(bool, true)
  }))

  validation {
    condition     = length(var.regions) > 0
    error_message = "At least one region is needed, such as regions = { asia-south1 = { cidr = \"10.16.0.0/12\" } }."
  }
}

variable "primary_region" {
  description = "Region of the database, the buckets, the registry and the warehouse."
  type        = string
  default     = "asia-south1"

  validation {
    condition     = contains(keys(var.regions), var.primary_region)
    error_message = "primary_region ${var.primary_region} is none of the regions ${join(", ", keys(var.regions))}."
  }
}

variable "protected" {
  description = "Whether databases, buckets, clusters and services are safe from being destroyed. Always in production."
  type        = bool
  default     = true

  validation {
    condition     = var.protected || var.environment != "prod"
    error_message = "Production is always protected."
  }
}

variable "private_services_cidr" {
  description = "Block of addresses for managed services."
  type        = string
  default     = "10.0.0.0/20"
}

variable "serverless_egress" {
  description = "How Cloud Run reaches the network: `direct` or `connector`."
  type        = string
  default     = "direct"
}

variable "nat_addresses" {
  description = "Fixed addresses of each region's NAT, for the allow-lists of providers; 0 = addresses that Google chooses."
  type        = number
  default     = 0
}

variable "images" {
  description = "Images, each by digest. `console` and `collector` may be null. `migrate` has the command tandem. `worker` and `vllm` are for the clusters: null until manifests are applied."
  type = object({
    gateway        = string
    orchestrator   = string
    migrate        = string
    database_proxy = string
    console        = optional(string)
    collector      = optional(string)
    worker         = optional(string)
    vllm           = optional(string)
  })

  validation {
    condition     = alltrue([for image in values(var.images) : image == null || can(regex("^[^@]+@sha256:[0-9a-f]{64}$", image))])
    error_message = "Every image is pinned by digest (NAME@sha256:...): a tag can come to mean another image."
  }
}

variable "gateway" {
  description = "The gateway of each region. `settings_file` is a settings file (TOML) relative to this folder, for what the environment can't say, such as issuers of tokens."
  type = object({
    min_instances = optional(number, 0)
    max_instances = optional(number, 10)
    vcpus         = optional(number, 1)
    memory_mib    = optional(number, 1024)
    concurrency   = optional(number, 500)
    billing       = optional(string, "request")
    settings_file = optional(string)
  })
  default = {}

  validation {
    condition     = var.gateway.settings_file == null || try(fileexists("${path.root}/${var.gateway.settings_file}"), false)
    error_message = "gateway.settings_file does not exist; it is relative to infra/terraform/platform."
  }
}

variable "orchestrator" {
  description = "The orchestrator of each region. It watches models in the background, so it is always billed by instance."
  type = object({
    min_instances = optional(number, 1)
    max_instances = optional(number, 10)
    vcpus         = optional(number, 2)
    memory_mib    = optional(number, 1024)
    concurrency   = optional(number, 500)
  })
  default = {}

  validation {
    condition     = var.orchestrator.min_instances >= 1
    error_message = "orchestrator.min_instances is 1 or more: what it knows of models would be gone, and a first request would wait for it."
  }
}

variable "console" {
  description = "The console of each region, where there is an image of it: its port and where it says how it is."
  type = object({
    max_instances = optional(number, 4)
    port          = optional(number, 3000)
    ready_path    = optional(string, "/readyz")
    live_path     = optional(string, "/livez")
    env           = optional(map(string), {})
  })
  default = {}
}

variable "workers" {
  description = "Workers of each region: most replicas at once (KEDA's limit, and part of the connection budget), and their nodes."
  type = object({
    max_replicas = optional(number, 8)
    namespace    = optional(string, "tandem")
    nodes = optional(object({
      machine_type = optional(string, "e2-standard-4")
      min          = optional(number, 1)
      max          = optional(number, 3)
    }), {})
    spot_nodes = optional(object({
      machine_type = optional(string, "e2-standard-4")
      min          = optional(number, 0)
      max          = optional(number, 10)
    }), {})
  })
  default = {}

  validation {
    condition     = var.workers.max_replicas >= 1 && var.workers.max_replicas <= 100
    error_message = "workers.max_replicas is 1 to 100."
  }
}

variable "database" {
  description = "The database: engine (cloud-sql or alloydb), size, connections, availability and backups."
  type = object({
    engine           = optional(string, "cloud-sql")
    postgres_version = optional(number, 17)
    vcpus            = number
    memory_mib       = number
    max_connections  = number
    highly_available = bool
    backup_days      = optional(number, 14)
    recovery_days    = optional(number, 7)
  })

  validation {
    condition     = var.database.highly_available || var.environment != "prod"
    error_message = "In production the database is highly available."
  }
}

variable "doorbell" {
  description = "What rings for workers: `embedded` (the database), `pubsub`, or `rabbitmq` (in the workers' cluster; its address is the secret rabbitmq)."
  type        = string
  default     = "pubsub"

  validation {
    condition     = contains(["embedded", "pubsub", "rabbitmq"], var.doorbell)
    error_message = "doorbell is embedded, pubsub or rabbitmq."
  }
}

variable "submissions" {
  description = <<-EOT
    Jobs as messages on Pub/Sub (docs/submissions.md); null = over the API only. `senders` may publish jobs, and so act for every tenant; `listeners` may
    subscribe to the events of all batches; both are members, named freely by their keys. `replies` are topics that a job may name in
    `reply_to`, as PREFIX-reply-NAME: by name, the member who listens. `buckets` are those whose objects may be the input of a job, by any tenant.
  EOT
  type = object({
    senders   = map(string)
    listeners = optional(map(string), {})
    replies   = optional(map(string), {})
    buckets   = optional(set(string), [])
  })
  default = null

  validation {
    condition     = var.submissions == null || alltrue([for name in keys(try(var.submissions.replies, {})) : can(regex("^[a-z][a-z0-9-]{0,50}$", name)) && !endswith(name, "-dead")])
    error_message = "Names of replies are lower-case letters, digits and hyphens, up to 51, and don't end in -dead."
  }

  validation {
    condition     = var.submissions == null || alltrue([for bucket in try(var.submissions.buckets, []) : can(regex("^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$", bucket))])
    error_message = "submissions.buckets are names of buckets, without gs://."
  }
}

variable "models" {
  description = <<-EOT
    Deployments of models on GPUs of our own, by name. Each is checked before anything is built: the machine has that many GPUs, the region
    has them, weights and KV cache fit. `model` is one of infra/data/gpus.json, or `architecture` says its size. `vllm_args` are more arguments of vLLM
    that only this model needs, such as `tool-call-parser`; an empty value is a switch.
  EOT
  type = map(object({
    region       = string
    model        = optional(string)
    machine_type = string
    gpu_count    = number
    format       = string
    architecture = optional(object({
      parameters_billion = number
      layers             = number
      attention_heads    = number
      kv_heads           = number
      head_dim           = number
      max_model_len      = number
    }))
    max_model_len      = optional(number)
    memory_utilisation = optional(number, 0.9)
    min_replicas       = optional(number, 0)
    max_replicas       = optional(number, 2)
    vllm_args          = optional(map(string), {})
  }))
  default = {}

  validation {
    condition     = alltrue([for name in keys(var.models) : can(regex("^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$", name))])
    error_message = "Models are named in lower-case letters, digits and hyphens, at most 40: their services and folders of weights have these names."
  }

  validation {
    condition     = alltrue([for model in values(var.models) : try(var.regions[model.region].models, false)])
    error_message = "A model is in a region without a cluster for models. Those with one: ${join(", ", [for name, region in var.regions : name if region.models])}."
  }

  validation {
    condition     = alltrue([for model in values(var.models) : model.min_replicas >= 0 && model.max_replicas >= max(1, model.min_replicas)])
    error_message = "min_replicas is 0 or more, max_replicas 1 or more and at least min_replicas."
  }

  validation {
    condition = alltrue(flatten([
      for model in values(var.models) : [
        for name, value in model.vllm_args : can(regex("^[a-z][a-z0-9-]*$", name)) && can(regex("^[A-Za-z0-9._/{}\":, -]*$", value)) && !contains([
          "model", "host", "port", "api-key", "served-model-name", "tensor-parallel-size", "max-model-len", "gpu-memory-utilization",
          "scheduling-policy", "max-num-queued-reqs", "shutdown-timeout",
        ], name)
      ]
    ]))
    error_message = "vllm_args are names without dashes before them, such as tool-call-parser, and not those that the platform or the manifests decide: size, address, names, key, queue."
  }
}

variable "catalog_file" {
  description = "Template of models.toml, relative to this folder. In it: $${project}, $${region}, $${services_domain} (of this region's models), $${services_domains} (by region)."
  type        = string

  validation {
    condition     = try(fileexists("${path.root}/${var.catalog_file}"), false)
    error_message = "catalog_file ${var.catalog_file} does not exist; it is relative to infra/terraform/platform."
  }
}

variable "provider_keys" {
  description = "Keys of providers that the catalog names by `api_key_env`: by that name of the environment, the version of the secret. The secrets are made first, their values added by hand."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.provider_keys) : can(regex("^[A-Z][A-Z0-9_]*$", name))])
    error_message = "provider_keys are named as in the environment, such as OPENAI_API_KEY."
  }
}

variable "domains" {
  description = "Domains that the API and the console answer at."
  type        = list(string)
}

variable "dns_zone" {
  description = "Public zone of Cloud DNS in this project for the domains; null = records are written elsewhere by hand."
  type        = string
  default     = null
}

variable "edge" {
  description = "What the load balancer lets through: see modules/edge."
  type = object({
    admin_cidrs       = optional(list(string), [])
    denied_cidrs      = optional(list(string), [])
    firewall_enforces = optional(bool, false)
    requests_per_minute = optional(object({
      address       = optional(number, 6000)
      authorization = optional(number, 12000)
    }), {})
  })
  default = {}
}

variable "usage" {
  description = "The warehouse: days that events are kept, who may query, and what deployments of our own cost beside which managed model."
  type = object({
    retention_days = optional(number, 400)
    readers        = optional(map(string), {})
    self_hosted = optional(map(object({
      usd_per_month                  = number
      managed_model                  = string
      managed_input_usd_per_million  = number
      managed_output_usd_per_million = number
    })), {})
  })
  default = {}
}

variable "alert_emails" {
  description = "Addresses that alarms go to, each named freely by its key."
  type        = map(string)
  default     = {}

  validation {
    condition     = length(var.alert_emails) > 0 || var.environment != "prod"
    error_message = "In production somebody is told: alert_emails has at least one address."
  }
}

variable "availability_goal" {
  description = "Share of requests that end without a server error, over 28 days."
  type        = number
  default     = 0.995
}

variable "budget" {
  description = "Billing account and what a month may cost, in its own currency; null = no budget."
  type = object({
    billing_account = string
    amount          = number
    currency        = optional(string, "USD")
  })
  default = null
}

variable "registry_writers" {
  description = "Members that push images, each named freely by its key: CI."
  type        = map(string)
  default     = {}
}

variable "secret_locations" {
  description = "Regions that hold secrets; empty = Google chooses."
  type        = list(string)
  default     = []
}

variable "rabbitmq_secret_version" {
  description = "Version of the secret rabbitmq, with doorbell = \"rabbitmq\"."
  type        = string
  default     = "1"
}

variable "deployers" {
  description = "Members that deploy services as their accounts, each named freely by its key: bootstrap's apply account, where CI applies."
  type        = map(string)
  default     = {}
}

variable "webhooks_key_version" {
  description = "Version of the secret webhooks, with which signing secrets of webhooks are encrypted in the database; null = they are stored as they are. Gateway and worker have it alike."
  type        = string
  default     = null

  validation {
    condition     = var.webhooks_key_version != null || var.environment != "prod"
    error_message = "In production signing secrets are encrypted: webhooks_key_version names a version of the secret webhooks."
  }
}

variable "webhooks_old_key_version" {
  description = "Version of the secret webhooks that was used before: what it encrypted can be read until its webhooks were rotated; null = none."
  type        = string
  default     = null

  validation {
    condition     = var.webhooks_old_key_version == null || (var.webhooks_key_version != null && var.webhooks_old_key_version != var.webhooks_key_version)
    error_message = "webhooks_old_key_version is another version than webhooks_key_version, which is set too."
  }
}
