variable "prefix" {
  description = "First part of every name."
  type        = string
}

variable "domains" {
  description = "Domains that the API (and the console) answer at."
  type        = list(string)

  validation {
    condition     = length(var.domains) > 0 && alltrue([for domain in var.domains : can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", domain))])
    error_message = "domains are full names without a final dot and without wildcards, such as ai.example.com; at least one."
  }
}

variable "dns_zone" {
  description = "Public zone of Cloud DNS, in this project, that the domains' records are written to; null = they are written elsewhere by hand (output `dns_records`)."
  type        = string
  default     = null
}

variable "api" {
  description = "The gateway's services on Cloud Run, by region."
  type        = map(string)

  validation {
    condition     = length(var.api) > 0
    error_message = "At least one region has a gateway."
  }
}

variable "console" {
  description = "The console's services on Cloud Run, by region; empty = no console."
  type        = map(string)
  default     = {}
}

variable "admin_cidrs" {
  description = "Addresses that may use the admin API (/admin/); empty = any, with an admin key."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.admin_cidrs : can(cidrhost(cidr, 0))]) && length(var.admin_cidrs) <= 10
    error_message = "admin_cidrs are at most 10 blocks such as 203.0.113.0/24."
  }
}

variable "denied_cidrs" {
  description = "Addresses that get nothing."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.denied_cidrs : can(cidrhost(cidr, 0))]) && length(var.denied_cidrs) <= 10
    error_message = "denied_cidrs are at most 10 blocks such as 203.0.113.0/24."
  }
}

variable "requests_per_minute" {
  description = "Requests a minute of one address, and of one key or token. Coarse: the gateway's own limits are per tenant."
  type = object({
    address       = optional(number, 6000)
    authorization = optional(number, 12000)
  })
  default = {}

  validation {
    condition     = var.requests_per_minute.address >= 60 && var.requests_per_minute.authorization >= 60
    error_message = "requests_per_minute are 60 or more."
  }
}

variable "firewall_enforces" {
  description = "Whether the rules against known attacks refuse requests; false = they only log what they would refuse. Look at the log first."
  type        = bool
  default     = false
}

variable "log_share" {
  description = "Share of requests that are logged, 0 to 1."
  type        = number
  default     = 1

  validation {
    condition     = var.log_share >= 0 && var.log_share <= 1
    error_message = "log_share is 0 to 1."
  }
}

variable "labels" {
  description = "Labels of everything that can have them."
  type        = map(string)
  default     = {}
}
