variable "billing_account" {
  description = "Billing account that pays for the project, such as 012345-6789AB-CDEF01."
  type        = string

  validation {
    condition     = can(regex("^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$", var.billing_account))
    error_message = "billing_account is written as 012345-6789AB-CDEF01."
  }
}

variable "project_number" {
  description = "Number of the project whose costs count."
  type        = string

  validation {
    condition     = can(regex("^[0-9]+$", var.project_number))
    error_message = "project_number is the project's number, not its name."
  }
}

variable "prefix" {
  description = "Name of the budget."
  type        = string
}

variable "amount" {
  description = "What a month may cost, in whole units of `currency`."
  type        = number

  validation {
    condition     = var.amount >= 1 && floor(var.amount) == var.amount
    error_message = "amount is a whole number, 1 or more."
  }
}

variable "currency" {
  description = "The billing account's own currency."
  type        = string
  default     = "USD"

  validation {
    condition     = can(regex("^[A-Z]{3}$", var.currency))
    error_message = "currency is three capitals such as USD."
  }
}

variable "notification_channels" {
  description = "Channels of Cloud Monitoring that are told, at most five."
  type        = list(string)
  default     = []

  validation {
    condition     = length(var.notification_channels) <= 5
    error_message = "A budget tells at most five channels."
  }
}
