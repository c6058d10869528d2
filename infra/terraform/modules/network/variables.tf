variable "prefix" {
  description = "First part of every name."
  type        = string
}

variable "regions" {
  description = "Regions by name, each with one block of addresses that every subnet of the region is cut from."
  type = map(object({
    cidr = string
  }))

  validation {
    condition     = length(var.regions) > 0
    error_message = "At least one region is needed, such as regions = { asia-south1 = { cidr = \"10.16.0.0/12\" } }."
  }

  validation {
    condition     = alltrue([for region in keys(var.regions) : can(regex("^[a-z]+-[a-z]+[0-9]+$", region))])
    error_message = "The keys of regions are regions such as asia-south1, not zones or multi-regions."
  }

  validation {
    condition     = alltrue([for region in values(var.regions) : can(cidrhost(region.cidr, 0)) && try(tonumber(split("/", region.cidr)[1]), 0) >= 12 && try(tonumber(split("/", region.cidr)[1]), 32) <= 16])
    error_message = "The cidr of a region is a block from /12 to /16: half of a smaller one would leave too few addresses for pods."
  }

  validation {
    condition     = alltrue([for region in values(var.regions) : try(cidrhost(region.cidr, 0) == split("/", region.cidr)[0], true)])
    error_message = "The cidr of a region begins at its first address: 10.16.0.0/12, not 10.17.0.0/12."
  }
}

variable "private_services_cidr" {
  description = "Block of addresses for managed services (Cloud SQL, AlloyDB), for all regions together."
  type        = string
  default     = "10.0.0.0/20"

  validation {
    condition     = can(cidrhost(var.private_services_cidr, 0)) && try(tonumber(split("/", var.private_services_cidr)[1]), 32) <= 24
    error_message = "private_services_cidr is a block of /24 or larger, such as 10.0.0.0/20: AlloyDB and Cloud SQL take whole /24 blocks of it."
  }
}

variable "serverless_egress" {
  description = "How Cloud Run reaches the network: `direct` (Direct VPC egress, no machines) or `connector` (Serverless VPC Access: machines that always run and cap the throughput)."
  type        = string
  default     = "direct"

  validation {
    condition     = contains(["direct", "connector"], var.serverless_egress)
    error_message = "serverless_egress is \"direct\" or \"connector\"."
  }
}

variable "nat_addresses" {
  description = "Fixed addresses of each region's NAT, for the allow-lists of providers; 0 = addresses that Google chooses."
  type        = number
  default     = 0

  validation {
    condition     = var.nat_addresses >= 0 && var.nat_addresses <= 16
    error_message = "nat_addresses is 0 to 16."
  }
}

variable "internal_domain" {
  description = "Domain of the private zone, with its final dot."
  type        = string
  default     = "tandem.internal."

  validation {
    condition     = can(regex("^([a-z0-9-]+\\.)+$", var.internal_domain))
    error_message = "internal_domain ends with a dot, such as tandem.internal."
  }
}

variable "model_port" {
  description = "Port that model servers listen on."
  type        = number
  default     = 8000
}

variable "labels" {
  description = "Labels of everything that can have them."
  type        = map(string)
  default     = {}
}
