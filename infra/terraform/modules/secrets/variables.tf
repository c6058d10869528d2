variable "prefix" {
  description = "First part of every secret's name."
  type        = string
}

variable "secrets" {
  description = "Secrets by name: what each is for, and the members that may read it, each named freely by its key. Terraform makes the containers; values are added by hand and never reach the state."
  type = map(object({
    description = string
    readers     = optional(map(string), {})
  }))

  validation {
    condition     = alltrue([for name in keys(var.secrets) : can(regex("^[a-z][a-z0-9-]*$", name))])
    error_message = "Names of secrets are lower-case letters, digits and hyphens."
  }

  validation {
    condition     = alltrue(flatten([for secret in values(var.secrets) : [for member in values(secret.readers) : !contains(["allUsers", "allAuthenticatedUsers"], member)]]))
    error_message = "No secret is public: allUsers and allAuthenticatedUsers are refused."
  }
}

variable "locations" {
  description = "Regions that hold copies; empty = Google chooses. Set it where data must stay in a country."
  type        = list(string)
  default     = []
}

variable "kms_key" {
  description = "Key of our own for automatic replication; null = Google's."
  type        = string
  default     = null
}

variable "deletion_protection" {
  description = "Whether secrets can't be destroyed."
  type        = bool
  default     = true
}

variable "labels" {
  description = "Labels of the secrets."
  type        = map(string)
  default     = {}
}
