variable "name" {
  description = "Name of the service."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,47}[a-z0-9]$", var.name))
    error_message = "name is 2 to 49 lower-case letters, digits and hyphens."
  }
}

variable "region" {
  description = "Region of the service."
  type        = string
}

variable "image" {
  description = "Image by digest: HOST/PROJECT/REPOSITORY/NAME@sha256:..."
  type        = string

  validation {
    condition     = can(regex("^[^@]+@sha256:[0-9a-f]{64}$", var.image))
    error_message = "image is pinned by digest (NAME@sha256:...): a tag can come to mean another image, and then a rollback is none."
  }
}

variable "command" {
  description = "What the container runs; empty = what the image says."
  type        = list(string)
  default     = []
}

variable "service_account" {
  description = "Address of the service's own account."
  type        = string

  validation {
    condition     = endswith(var.service_account, ".iam.gserviceaccount.com") && !can(regex("^[0-9]+-compute@", var.service_account))
    error_message = "service_account is an account of the service's own, not Compute Engine's default one, which may do too much."
  }
}

variable "exposure" {
  description = "`public`: through the load balancer only, whoever asks is checked by the service itself. `internal`: through the network only, and only by `invokers`."
  type        = string

  validation {
    condition     = contains(["public", "internal"], var.exposure)
    error_message = "exposure is \"public\" or \"internal\"."
  }
}

variable "invokers" {
  description = "Members that may call an internal service, each named freely by its key."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for member in values(var.invokers) : !contains(["allUsers", "allAuthenticatedUsers"], member)])
    error_message = "allUsers and allAuthenticatedUsers may call nothing: a public service is one behind the load balancer (exposure = \"public\")."
  }

  validation {
    condition     = var.exposure == "internal" || length(var.invokers) == 0
    error_message = "A public service has no invokers: Cloud Run asks nobody who comes through the load balancer."
  }
}

variable "custom_audiences" {
  description = "Further audiences that callers' ID tokens may be made out for."
  type        = list(string)
  default     = []
}

variable "billing" {
  description = "`request`: CPU only while a request runs. `instance`: CPU always, for work in the background and for GPUs."
  type        = string

  validation {
    condition     = contains(["request", "instance"], var.billing)
    error_message = "billing is \"request\" or \"instance\"."
  }

  validation {
    condition     = var.gpu == null || var.billing == "instance"
    error_message = "A service with a GPU is billed by instance: without CPU between requests its driver and its batches stand still."
  }
}

variable "vcpus" {
  description = "vCPUs of the service's container."
  type        = number
  default     = 1

  validation {
    condition     = contains([1, 2, 4, 6, 8, 20, 22], var.vcpus)
    error_message = "vcpus is 1, 2, 4, 6 or 8 (20 or 22 with a large GPU)."
  }
}

variable "memory_mib" {
  description = "Memory of the service's container, in MiB."
  type        = number
  default     = 512

  validation {
    condition     = var.memory_mib >= try(local.memory_gib[var.vcpus].least, 0.5) * 1024 && var.memory_mib <= try(local.memory_gib[var.vcpus].most, 4) * 1024
    error_message = "With ${var.vcpus} vCPUs, memory_mib is ${try(local.memory_gib[var.vcpus].least, 0.5) * 1024} to ${try(local.memory_gib[var.vcpus].most, 4) * 1024}."
  }
}

variable "gpu" {
  description = "GPU of the service: nvidia-l4 or nvidia-rtx-pro-6000; null = none."
  type        = string
  default     = null

  validation {
    condition     = var.gpu == null || contains(keys(local.facts.cloud_run), coalesce(var.gpu, "-"))
    error_message = "On Cloud Run gpu is one of ${join(", ", keys(local.facts.cloud_run))}."
  }

  validation {
    condition     = var.gpu == null || try(contains(local.facts.cloud_run[var.gpu].regions, var.region), true)
    error_message = "Cloud Run has no ${coalesce(var.gpu, "-")} in ${var.region}${try(contains(local.facts.cloud_run[var.gpu].by_invitation, var.region), false) ? " except by invitation" : ""}; it has it in ${join(", ", try(local.facts.cloud_run[var.gpu].regions, []))}."
  }

  validation {
    condition     = var.gpu == null || try(var.vcpus >= local.facts.cloud_run[var.gpu].min_vcpus && var.memory_mib >= local.facts.cloud_run[var.gpu].min_memory_gib * 1024, true)
    error_message = "${coalesce(var.gpu, "-")} takes at least ${try(local.facts.cloud_run[var.gpu].min_vcpus, 0)} vCPUs and ${try(local.facts.cloud_run[var.gpu].min_memory_gib, 0) * 1024} MiB."
  }
}

variable "min_instances" {
  description = "Instances that always run."
  type        = number
  default     = 0

  validation {
    condition     = var.min_instances >= 0 && var.min_instances <= var.max_instances
    error_message = "min_instances is 0 to max_instances."
  }
}

variable "max_instances" {
  description = "Instances at most. Each holds its pool of database connections, so this is part of the connection budget."
  type        = number

  validation {
    condition     = var.max_instances >= 1 && var.max_instances <= 1000
    error_message = "max_instances is 1 to 1000. Above 100, check the region's quota first: beyond the limit callers get 429."
  }
}

variable "concurrency" {
  description = "Requests that one instance runs at once."
  type        = number
  default     = 80

  validation {
    condition     = var.concurrency >= 1 && var.concurrency <= 1000
    error_message = "concurrency is 1 to 1000."
  }
}

variable "timeout_seconds" {
  description = "Longest request, in seconds. Streams run long: Cloud Run cuts them off here."
  type        = number
  default     = 3600

  validation {
    condition     = var.timeout_seconds >= 600 && var.timeout_seconds <= 3600
    error_message = "timeout_seconds is 600 to 3600: a shorter one cuts long streams off, and Cloud Run allows no longer."
  }
}

variable "http_port" {
  description = "Port that requests come to."
  type        = number
  default     = 8080
}

variable "probes" {
  description = "Where the service says how it is: its port, and the paths for being started and wanting traffic (`ready`) and for running at all (`live`, which must not depend on anything else)."
  type = object({
    port  = number
    ready = optional(string, "/readyz")
    live  = optional(string, "/livez")
  })

  validation {
    condition     = var.probes.ready != var.probes.live
    error_message = "probes.live may not be the readiness path: a database that is away would get every instance killed."
  }
}

variable "env" {
  description = "Environment, by name. Secrets go to `secrets`."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.env) : !can(regex("(SECRET|PASSWORD|TOKEN|API_KEY|PRIVATE_KEY)$", name))])
    error_message = "env has names that end like secrets: put them into `secrets`, or they are in the state and in everybody's sight."
  }

  validation {
    condition     = !contains(keys(var.env), "PORT")
    error_message = "PORT is Cloud Run's own."
  }
}

variable "secrets" {
  description = "Environment from Secret Manager, by name. The version is a number: `latest` would change running instances at random."
  type = map(object({
    secret  = string
    version = string
  }))
  default = {}

  validation {
    condition     = alltrue([for secret in values(var.secrets) : can(regex("^[1-9][0-9]*$", secret.version))])
    error_message = "A secret's version is a number, not latest: instances started at different times would have different secrets, and a bad one could not be rolled back."
  }
}

variable "config_bucket" {
  description = "Bucket that is mounted for reading, and where; null = none."
  type = object({
    bucket     = string
    mount_path = string
  })
  default = null
}

variable "database_proxy" {
  description = "Proxy to the database that runs beside the service: its image by digest and its arguments; null = none."
  type = object({
    image = string
    args  = list(string)
  })
  default = null

  validation {
    condition     = var.database_proxy == null || can(regex("^[^@]+@sha256:[0-9a-f]{64}$", var.database_proxy.image))
    error_message = "database_proxy.image is pinned by digest (NAME@sha256:...)."
  }
}

variable "collector_image" {
  description = "OpenTelemetry collector (with Google's exporters) that runs beside the service, by digest; it takes OTLP at 127.0.0.1:4317. null = none."
  type        = string
  default     = null

  validation {
    condition     = var.collector_image == null || can(regex("^[^@]+@sha256:[0-9a-f]{64}$", var.collector_image))
    error_message = "collector_image is pinned by digest (NAME@sha256:...)."
  }
}

variable "egress" {
  description = "Way into the network: a subnetwork (Direct VPC egress) or a connector."
  type = object({
    network    = string
    subnetwork = optional(string)
    connector  = optional(string)
  })

  validation {
    condition     = (var.egress.subnetwork == null) != (var.egress.connector == null)
    error_message = "egress has either a subnetwork or a connector."
  }
}

variable "egress_traffic" {
  description = "`ALL_TRAFFIC`: everything leaves through the network and its NAT. `PRIVATE_RANGES_ONLY`: public addresses directly."
  type        = string
  default     = "ALL_TRAFFIC"

  validation {
    condition     = contains(["ALL_TRAFFIC", "PRIVATE_RANGES_ONLY"], var.egress_traffic)
    error_message = "egress_traffic is ALL_TRAFFIC or PRIVATE_RANGES_ONLY."
  }
}

variable "deletion_protection" {
  description = "Whether the service can't be destroyed."
  type        = bool
  default     = true
}

variable "labels" {
  description = "Labels of the service."
  type        = map(string)
  default     = {}
}
