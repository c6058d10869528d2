variable "state_bucket" {
  description = "Bucket of Terraform's state, where the platform's outputs are read."
  type        = string
}

variable "region" {
  description = "Region of the cluster."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region is a region such as asia-south1."
  }
}

variable "cluster" {
  description = "models or workers."
  type        = string

  validation {
    condition     = contains(["models", "workers"], var.cluster)
    error_message = "cluster is models or workers."
  }
}

variable "charts" {
  description = "Versions of the charts: fixed, so that the same apply gives the same cluster."
  type = object({
    keda      = optional(string, "2.20.2")
    rabbitmq  = optional(string, "0.6.16")
    collector = optional(string, "0.177.0")
  })
  default = {}

  validation {
    condition     = alltrue([for version in values(var.charts) : can(regex("^[0-9]+\\.[0-9]+\\.[0-9]+$", version))])
    error_message = "Versions of charts are exact, such as 2.20.2: no ranges."
  }
}

variable "rabbitmq" {
  description = "Whether the operator of RabbitMQ is installed in the workers' cluster (with doorbell = \"rabbitmq\")."
  type        = bool
  default     = false

  validation {
    condition     = !var.rabbitmq || var.cluster == "workers"
    error_message = "RabbitMQ runs in the workers' cluster, not among models: Autopilot would pay for its pods beside GPUs."
  }
}
