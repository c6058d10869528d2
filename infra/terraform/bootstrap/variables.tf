variable "project_id" {
  description = "Project that everything of this environment is in."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id is 6 to 30 lower-case letters, digits and hyphens, as Google Cloud shows it (not the project's number)."
  }
}

variable "region" {
  description = "Region of the state bucket and its key."
  type        = string
  default     = "asia-south1"

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region is a region such as asia-south1, not a zone or a multi-region."
  }
}

variable "prefix" {
  description = "First part of every name."
  type        = string
  default     = "tandem"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,14}[a-z0-9]$", var.prefix))
    error_message = "prefix is 3 to 16 lower-case letters, digits and hyphens: account names, which begin with it, have at most 30."
  }
}

variable "github" {
  description = "Repository whose workflows may plan and apply; null = none. repository_id and owner_id are numbers that survive renaming: gh api repos/OWNER/NAME --jq '.id, .owner.id'."
  type = object({
    repository_id = string
    owner_id      = string
    apply_ref     = optional(string, "refs/heads/main")
  })
  default = null

  validation {
    condition     = var.github == null || can(regex("^[0-9]+$", var.github.repository_id)) && can(regex("^[0-9]+$", var.github.owner_id))
    error_message = "github.repository_id and github.owner_id are numbers: a name can be given up and taken by somebody else."
  }

  validation {
    condition     = var.github == null || can(regex("^refs/(heads|tags)/[A-Za-z0-9._/-]+$", var.github.apply_ref))
    error_message = "github.apply_ref is one full ref such as refs/heads/main: only workflows on it may apply."
  }
}

variable "cloud_build_project_number" {
  description = "Number of the project whose Cloud Build triggers may act as the CI accounts; null = none. In the same project a trigger may name them without this."
  type        = string
  default     = null

  validation {
    condition     = var.cloud_build_project_number == null || can(regex("^[0-9]+$", var.cloud_build_project_number))
    error_message = "cloud_build_project_number is the project's number, not its name."
  }
}

variable "state_readers" {
  description = "Members (user:, group:, serviceAccount:) that may read Terraform's state."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for member in var.state_readers : can(regex("^(user|group|serviceAccount):", member))])
    error_message = "state_readers are user:, group: or serviceAccount: members. allUsers and allAuthenticatedUsers would publish the state."
  }
}

variable "labels" {
  description = "Labels of everything that can have them."
  type        = map(string)
  default     = {}
}
