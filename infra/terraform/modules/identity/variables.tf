variable "project_id" {
  description = "Project of the accounts and their rights."
  type        = string
}

variable "prefix" {
  description = "First part of every account's name."
  type        = string
}

variable "accounts" {
  description = <<-EOT
    One account per service, by name. `roles` are roles in the project, always added, never set as a whole. `kubernetes` are the
    Kubernetes service accounts (`namespace/name`) that may act as it by Workload Identity; there are no keys.
  EOT
  type = map(object({
    description = string
    roles       = optional(set(string), [])
    kubernetes  = optional(set(string), [])
  }))

  validation {
    condition     = alltrue([for name in keys(var.accounts) : can(regex("^[a-z][a-z0-9-]*$", name))])
    error_message = "Names of accounts are lower-case letters, digits and hyphens."
  }

  validation {
    condition     = alltrue([for name in keys(var.accounts) : length("${var.prefix}-${name}") <= 30])
    error_message = "The prefix and the name of an account have at most 30 characters together."
  }

  validation {
    condition     = length(setintersection(flatten([for account in values(var.accounts) : account.roles]), local.refused)) == 0
    error_message = "A service gets no role that includes everything: ${join(", ", local.refused)} are refused. Name the roles it needs, or grant them on the one resource."
  }

  validation {
    condition     = alltrue(flatten([for account in values(var.accounts) : [for subject in account.kubernetes : can(regex("^[a-z0-9-]+/[a-z0-9-]+$", subject))]]))
    error_message = "Kubernetes accounts are written as namespace/name."
  }
}

variable "workload_pool" {
  description = "Pool of Kubernetes accounts (PROJECT.svc.id.goog); null = no cluster. It is there once the first cluster is, so it comes from the clusters."
  type        = string
  default     = null
}

variable "deployers" {
  description = "Members that deploy services as these accounts (CI), each named freely by its key."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for member in values(var.deployers) : can(regex("^(user|group|serviceAccount):", member))])
    error_message = "deployers are user:, group: or serviceAccount: members."
  }
}
