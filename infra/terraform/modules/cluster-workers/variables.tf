variable "name" {
  description = "Name of the cluster."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,38}[a-z0-9]$", var.name))
    error_message = "name is 2 to 40 lower-case letters, digits and hyphens."
  }
}

variable "region" {
  description = "Region of the cluster."
  type        = string
}

variable "network" {
  description = "Network, subnetwork and the names of the subnetwork's ranges for pods and services."
  type = object({
    network        = string
    subnetwork     = string
    pods_range     = string
    services_range = string
  })
}

variable "service_account" {
  description = "Address of the nodes' account."
  type        = string

  validation {
    condition     = endswith(var.service_account, ".iam.gserviceaccount.com") && !can(regex("^[0-9]+-compute@", var.service_account))
    error_message = "service_account is an account of the nodes' own, not Compute Engine's default one, which may do too much."
  }
}

variable "release_channel" {
  description = "RAPID, REGULAR or STABLE."
  type        = string
  default     = "REGULAR"

  validation {
    condition     = contains(["RAPID", "REGULAR", "STABLE"], var.release_channel)
    error_message = "release_channel is RAPID, REGULAR or STABLE."
  }
}

variable "backup_agent" {
  description = "Whether Backup for GKE may run."
  type        = bool
  default     = false
}

variable "deletion_protection" {
  description = "Whether the cluster can't be destroyed."
  type        = bool
  default     = true
}

variable "labels" {
  description = "Labels of the cluster."
  type        = map(string)
  default     = {}
}

variable "project_id" {
  description = "Project of the cluster."
  type        = string
}

variable "nodes" {
  description = "Ordinary nodes: machine type, and how many there are at least and at most in the whole region. They carry what may not be interrupted."
  type = object({
    machine_type = optional(string, "e2-standard-4")
    min          = optional(number, 1)
    max          = optional(number, 3)
  })
  default = {}

  validation {
    condition     = var.nodes.min >= 1 && var.nodes.max >= var.nodes.min
    error_message = "nodes.min is 1 or more (KEDA and the collector always run), nodes.max at least as many."
  }
}

variable "spot_nodes" {
  description = "Spot nodes for workers, which lose nothing when one is taken away: machine type, at least, at most; max = 0 for none."
  type = object({
    machine_type = optional(string, "e2-standard-4")
    min          = optional(number, 0)
    max          = optional(number, 10)
  })
  default = {}

  validation {
    condition     = var.spot_nodes.min >= 0 && var.spot_nodes.max >= var.spot_nodes.min
    error_message = "spot_nodes.min is 0 or more, spot_nodes.max at least as many."
  }
}

variable "kms_key" {
  description = "Key that Kubernetes secrets are encrypted with in the control plane; null = Google's."
  type        = string
  default     = null
}
