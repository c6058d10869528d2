variable "project_id" {
  description = "Project of the dataset."
  type        = string
}

variable "pubsub_agent" {
  description = "Pub/Sub's own account, as a member: it writes the events."
  type        = string

  validation {
    condition     = endswith(var.pubsub_agent, "@gcp-sa-pubsub.iam.gserviceaccount.com")
    error_message = "pubsub_agent is serviceAccount:service-NUMBER@gcp-sa-pubsub.iam.gserviceaccount.com."
  }
}

variable "prefix" {
  description = "First part of the names; hyphens become underscores in the dataset's."
  type        = string
}

variable "location" {
  description = "Region or multi-region (US, EU) of the dataset. It can't be changed later."
  type        = string
}

variable "topic" {
  description = "Full name of the topic of usage events."
  type        = string

  validation {
    condition     = can(regex("^projects/[^/]+/topics/[^/]+$", var.topic))
    error_message = "topic is a full name: projects/PROJECT/topics/TOPIC."
  }
}

variable "dead_letter_topic" {
  description = "Full name of the topic for events that the table refuses."
  type        = string

  validation {
    condition     = can(regex("^projects/[^/]+/topics/[^/]+$", var.dead_letter_topic))
    error_message = "dead_letter_topic is a full name: projects/PROJECT/topics/TOPIC."
  }
}

variable "retention_days" {
  description = "Days that events are kept; also how far back the views look."
  type        = number
  default     = 400

  validation {
    condition     = var.retention_days >= 31 && var.retention_days <= 4000
    error_message = "retention_days is 31 to 4000."
  }
}

variable "self_hosted" {
  description = "What our own deployments cost, by deployment: US dollars a month for GPUs and all around them, and the prices per million tokens of the managed model that would stand in for it."
  type = map(object({
    usd_per_month                  = number
    managed_model                  = string
    managed_input_usd_per_million  = number
    managed_output_usd_per_million = number
  }))
  default = {}

  validation {
    condition     = alltrue([for name, cost in var.self_hosted : can(regex("^[A-Za-z0-9._-]+$", name)) && can(regex("^[A-Za-z0-9._/-]+$", cost.managed_model))])
    error_message = "Names of deployments and models are letters, digits, dots, hyphens and underscores: they become part of a query."
  }

  validation {
    condition     = alltrue([for cost in values(var.self_hosted) : cost.usd_per_month > 0 && cost.managed_input_usd_per_million >= 0 && cost.managed_output_usd_per_million > 0])
    error_message = "usd_per_month and managed_output_usd_per_million are above 0, managed_input_usd_per_million is 0 or more."
  }
}

variable "readers" {
  description = "Members that may query, each named freely by its key."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for member in values(var.readers) : !contains(["allUsers", "allAuthenticatedUsers"], member)])
    error_message = "Usage is not public: allUsers and allAuthenticatedUsers are refused."
  }
}

variable "deletion_protection" {
  description = "Whether the table can't be destroyed."
  type        = bool
  default     = true
}

variable "kms_key" {
  description = "Key of our own for the dataset; null = Google's."
  type        = string
  default     = null
}

variable "labels" {
  description = "Labels of dataset, tables and subscription."
  type        = map(string)
  default     = {}
}
