variable "prefix" {
  description = "First part of the repositories' names."
  type        = string
}

variable "region" {
  description = "Region of the repositories."
  type        = string
}

variable "readers" {
  description = "Members that may pull, each named freely by its key."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for member in values(var.readers) : !contains(["allUsers", "allAuthenticatedUsers"], member)])
    error_message = "Images are not public: allUsers and allAuthenticatedUsers are refused."
  }
}

variable "writers" {
  description = "Members that may push, each named freely by its key."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for member in values(var.writers) : !contains(["allUsers", "allAuthenticatedUsers"], member)])
    error_message = "Nobody unknown pushes images: allUsers and allAuthenticatedUsers are refused."
  }
}

variable "untagged_days" {
  description = "Days after which images without a tag are deleted, unless they are among the 20 latest."
  type        = number
  default     = 30

  validation {
    condition     = var.untagged_days >= 7
    error_message = "untagged_days is 7 or more: a rollback needs the images of last week."
  }
}

variable "labels" {
  description = "Labels of the repositories."
  type        = map(string)
  default     = {}
}
