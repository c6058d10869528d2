variable "project_id" {
  description = "Project of the database."
  type        = string
}

variable "prefix" {
  description = "First part of the instance's name."
  type        = string
}

variable "region" {
  description = "Region of the database."
  type        = string
}

variable "engine" {
  description = "`cloud-sql` (PostgreSQL on Cloud SQL) or `alloydb`."
  type        = string
  default     = "cloud-sql"

  validation {
    condition     = contains(["cloud-sql", "alloydb"], var.engine)
    error_message = "engine is \"cloud-sql\" or \"alloydb\"."
  }
}

variable "postgres_version" {
  description = "Major version of PostgreSQL."
  type        = number
  default     = 17

  validation {
    condition     = var.postgres_version >= 16 && var.postgres_version <= 18
    error_message = "postgres_version is 16, 17 or 18."
  }
}

variable "network_id" {
  description = "VPC that managed services are peered with."
  type        = string
}

variable "allocated_range" {
  description = "Name of the range that its address is taken from."
  type        = string
}

variable "vcpus" {
  description = "vCPUs of the instance: 1, or an even number."
  type        = number

  validation {
    condition     = var.vcpus == 1 || var.vcpus % 2 == 0 && var.vcpus >= 2 && var.vcpus <= 96
    error_message = "vcpus is 1 or an even number up to 96."
  }
}

variable "memory_mib" {
  description = "Memory in MiB, a multiple of 256. Cloud SQL only: AlloyDB has 8 GiB for each vCPU."
  type        = number

  validation {
    condition     = var.memory_mib % 256 == 0 && var.memory_mib >= 3840 && var.memory_mib >= var.vcpus * 922 && var.memory_mib <= var.vcpus * 6656
    error_message = "memory_mib is a multiple of 256, at least 3840, and 0.9 to 6.5 GiB for each vCPU: with ${var.vcpus} vCPUs, ${max(3840, ceil(var.vcpus * 922 / 256) * 256)} to ${var.vcpus * 6656}."
  }
}

variable "max_connections" {
  description = "Connections that the server takes at once, from all processes together."
  type        = number

  validation {
    condition     = var.max_connections >= 50 && var.max_connections * 12 <= var.memory_mib
    error_message = "max_connections is at least 50, and each connection may take 12 MiB: ${var.memory_mib} MiB carry ${floor(var.memory_mib / 12)}."
  }
}

variable "highly_available" {
  description = "Whether a standby in another zone takes over when the primary fails."
  type        = bool
}

variable "backup_days" {
  description = "Backups that are kept, one a day."
  type        = number
  default     = 14

  validation {
    condition     = var.backup_days >= 7 && var.backup_days <= 365
    error_message = "backup_days is 7 to 365."
  }
}

variable "recovery_days" {
  description = "Days back to any second of which the database can be restored."
  type        = number
  default     = 7

  validation {
    condition     = var.recovery_days >= 1 && var.recovery_days <= 7
    error_message = "recovery_days is 1 to 7."
  }
}

variable "deletion_protection" {
  description = "Whether the database can't be destroyed."
  type        = bool
  default     = true
}

variable "kms_key" {
  description = "Key of our own that the database is encrypted with; null = Google's."
  type        = string
  default     = null
}

variable "users" {
  description = "Service accounts that may connect, by service: their addresses, and whether each owns the schema (`owner`, for migrations) or reads and writes its rows (`data`). There are no passwords."
  type = map(object({
    email  = string
    access = string
  }))

  validation {
    condition     = alltrue([for user in values(var.users) : contains(["owner", "data"], user.access)])
    error_message = "access is \"owner\" or \"data\"."
  }
}

variable "labels" {
  description = "Labels of the database."
  type        = map(string)
  default     = {}
}
