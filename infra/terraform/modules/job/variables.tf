variable "name" {
  description = "Name of the job."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,47}[a-z0-9]$", var.name))
    error_message = "name is 2 to 49 lower-case letters, digits and hyphens: the name of its run is longer."
  }
}

variable "region" {
  description = "Region of the job."
  type        = string
}

variable "image" {
  description = "Image by digest: HOST/PROJECT/REPOSITORY/NAME@sha256:..."
  type        = string

  validation {
    condition     = can(regex("^[^@]+@sha256:[0-9a-f]{64}$", var.image))
    error_message = "image is pinned by digest (NAME@sha256:...): a tag can come to mean another image."
  }
}

variable "command" {
  description = "What the container runs."
  type        = list(string)
}

variable "args" {
  description = "Its arguments, which one run may replace: gcloud run jobs execute NAME --args=..."
  type        = list(string)
  default     = []
}

variable "service_account" {
  description = "Address of the job's own account."
  type        = string

  validation {
    condition     = endswith(var.service_account, ".iam.gserviceaccount.com") && !can(regex("^[0-9]+-compute@", var.service_account))
    error_message = "service_account is an account of the job's own, not Compute Engine's default one."
  }
}

variable "env" {
  description = "Environment, by name; no secrets."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.env) : !can(regex("(SECRET|PASSWORD|TOKEN|API_KEY|PRIVATE_KEY)$", name))])
    error_message = "env has names that end like secrets, which would be in the state and in everybody's sight."
  }
}

variable "database_proxy" {
  description = "Proxy to the database that runs beside the job: its image by digest and its arguments."
  type = object({
    image = string
    args  = list(string)
  })

  validation {
    condition     = can(regex("^[^@]+@sha256:[0-9a-f]{64}$", var.database_proxy.image))
    error_message = "database_proxy.image is pinned by digest (NAME@sha256:...)."
  }
}

variable "egress" {
  description = "Way into the network: a subnetwork (Direct VPC egress) or a connector."
  type = object({
    network    = string
    subnetwork = optional(string)
    connector  = optional(string)
  })
}

variable "timeout_seconds" {
  description = "Longest run, in seconds."
  type        = number
  default     = 1800

  validation {
    condition     = var.timeout_seconds >= 60 && var.timeout_seconds <= 86400
    error_message = "timeout_seconds is 60 to 86400."
  }
}

variable "deletion_protection" {
  description = "Whether the job can't be destroyed."
  type        = bool
  default     = true
}

variable "labels" {
  description = "Labels of the job."
  type        = map(string)
  default     = {}
}
