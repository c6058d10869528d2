variable "project_id" {
  description = "Project of the cluster."
  type        = string
}

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

variable "dns_domain" {
  description = "Domain that the cluster's services are published under in the whole network, so that Cloud Run finds pods by name. It can only be set when the cluster is made."
  type        = string

  validation {
    condition     = can(regex("^([a-z0-9-]+\\.)+[a-z]+$", var.dns_domain)) && !endswith(var.dns_domain, "cluster.local")
    error_message = "dns_domain is a domain without a final dot, such as models.tandem.internal, and not cluster.local: every cluster has that one."
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
