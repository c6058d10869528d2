variable "project_id" {
  description = "Project, whose name begins the buckets' names: those are unique in the world."
  type        = string
}

variable "prefix" {
  description = "Second part of every bucket's name."
  type        = string
}

variable "location" {
  description = "Region, dual-region or multi-region of the buckets."
  type        = string
}

variable "buckets" {
  description = <<-EOT
    Buckets by name. `versioned` keeps what is overwritten or deleted for `noncurrent_days`. What is deleted can be brought
    back for `soft_delete_days` (0, or 7 to 90), and is paid for so long. `delete_after_days` removes objects
    under `delete_prefix` after so long (null = never). `readers`, `writers` (create, read, delete) are members, each named freely by its key.
  EOT
  type = map(object({
    versioned         = optional(bool, false)
    noncurrent_days   = optional(number, 30)
    soft_delete_days  = optional(number, 7)
    delete_after_days = optional(number)
    delete_prefix     = optional(string, "")
    kms_key           = optional(string)
    readers           = optional(map(string), {})
    writers           = optional(map(string), {})
  }))

  validation {
    condition     = alltrue([for name in keys(var.buckets) : can(regex("^[a-z][a-z0-9-]*$", name))])
    error_message = "Names of buckets are lower-case letters, digits and hyphens."
  }

  validation {
    condition = alltrue(flatten([
      for bucket in values(var.buckets) : [
        for member in concat(values(bucket.readers), values(bucket.writers)) : !contains(["allUsers", "allAuthenticatedUsers"], member)
      ]
    ]))
    error_message = "No bucket is public: allUsers and allAuthenticatedUsers are refused."
  }

  validation {
    condition     = alltrue([for bucket in values(var.buckets) : bucket.delete_after_days == null || coalesce(bucket.delete_after_days, 1) >= 1])
    error_message = "delete_after_days is 1 or more."
  }

  validation {
    condition     = alltrue([for bucket in values(var.buckets) : bucket.soft_delete_days == 0 || bucket.soft_delete_days >= 7 && bucket.soft_delete_days <= 90])
    error_message = "soft_delete_days is 0, or 7 to 90."
  }
}

variable "force_destroy" {
  description = "Whether buckets with objects may be destroyed. Never in production."
  type        = bool
  default     = false
}

variable "labels" {
  description = "Labels of the buckets."
  type        = map(string)
  default     = {}
}
