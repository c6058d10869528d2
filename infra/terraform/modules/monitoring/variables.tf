variable "project_id" {
  description = "Project that is watched."
  type        = string
}

variable "prefix" {
  description = "First part of every name."
  type        = string
}

variable "emails" {
  description = "Addresses that are told, each named freely by its key."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for address in values(var.emails) : can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", address))])
    error_message = "emails are addresses such as oncall@example.com."
  }
}

variable "notification_channels" {
  description = "Further channels of Cloud Monitoring (chat, pagers), by their full names."
  type        = list(string)
  default     = []
}

variable "load_balancer" {
  description = "Name of the load balancer (url map), and of the backend service of the API."
  type = object({
    url_map = string
    backend = string
  })
}

variable "domain" {
  description = "Domain that is looked at from outside."
  type        = string
}

variable "database" {
  description = "Engine (cloud-sql or alloydb), name of the instance and the connections it takes."
  type = object({
    engine          = string
    instance        = string
    max_connections = number
  })
}

variable "subscriptions" {
  description = "Subscriptions whose oldest message may be ten minutes old at most."
  type        = list(string)
}

variable "dead_letter_subscriptions" {
  description = "Subscriptions that keep dead letters: anything in them is an alarm."
  type        = list(string)
}

variable "availability_goal" {
  description = "Share of requests that end without a server error, over 28 days."
  type        = number
  default     = 0.995

  validation {
    condition     = var.availability_goal >= 0.9 && var.availability_goal <= 0.9999
    error_message = "availability_goal is 0.9 to 0.9999."
  }
}

variable "first_token_seconds" {
  description = "What 95 of 100 interactive requests wait for their first token at most."
  type        = number
  default     = 2

  validation {
    condition     = var.first_token_seconds >= 0.1 && var.first_token_seconds <= 60
    error_message = "first_token_seconds is 0.1 to 60."
  }
}

variable "kv_cache_share" {
  description = "Use of a model server's KV cache that is an alarm when it lasts."
  type        = number
  default     = 0.9

  validation {
    condition     = var.kv_cache_share > 0.5 && var.kv_cache_share < 1
    error_message = "kv_cache_share is above 0.5 and below 1."
  }
}

variable "batch_hours" {
  description = "Hours that the oldest batch may be able to run without being done, before it is an alarm."
  type        = number
  default     = 20

  validation {
    condition     = var.batch_hours >= 1 && var.batch_hours <= 168
    error_message = "batch_hours is 1 to 168."
  }
}

variable "labels" {
  description = "Labels of the alerts."
  type        = map(string)
  default     = {}
}
