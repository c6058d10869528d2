variable "project_id" {
  description = "Project of the topics."
  type        = string
}

variable "project_number" {
  description = "Its number, which Pub/Sub's own account is named after."
  type        = string

  validation {
    condition     = can(regex("^[0-9]+$", var.project_number))
    error_message = "project_number is the project's number, not its name."
  }
}

variable "prefix" {
  description = "First part of every name."
  type        = string
}

variable "regions" {
  description = "Regions that messages may be stored in; empty = any."
  type        = set(string)
  default     = []
}

variable "topics" {
  description = <<-EOT
    Topics by name. `schema` is the text of a protobuf schema that every message must fit, as JSON. `publishers` are members, named
    freely by their keys. `subscription` is what our own processes pull from; whoever does is in its `subscribers`. `listeners` are members
    who may make subscriptions of their own. With `dead_letters`, which a subscription needs, a topic has a dead-letter topic `NAME-dead`
    with a subscription that keeps what lies there.
  EOT
  type = map(object({
    schema     = optional(string)
    publishers = optional(map(string), {})
    listeners  = optional(map(string), {})
    # false for what only others listen to
    dead_letters = optional(bool, true)
    subscription = optional(object({
      subscribers           = map(string)
      ack_deadline_seconds  = optional(number, 60)
      max_delivery_attempts = optional(number, 10)
      minimum_backoff       = optional(string, "10s")
      maximum_backoff       = optional(string, "600s")
    }))
  }))

  validation {
    condition     = alltrue([for name in keys(var.topics) : can(regex("^[a-z][a-z0-9-]{1,100}$", name)) && !endswith(name, "-dead")])
    error_message = "Names of topics are lower-case letters, digits and hyphens; those that end in -dead are made for dead letters."
  }

  validation {
    condition     = alltrue([for topic in values(var.topics) : topic.subscription == null || try(topic.subscription.ack_deadline_seconds >= 10 && topic.subscription.ack_deadline_seconds <= 600, false)])
    error_message = "ack_deadline_seconds is 10 to 600."
  }

  validation {
    condition     = alltrue([for topic in values(var.topics) : topic.subscription == null || try(topic.subscription.max_delivery_attempts >= 5 && topic.subscription.max_delivery_attempts <= 100, false)])
    error_message = "max_delivery_attempts is 5 to 100."
  }

  validation {
    condition     = alltrue([for topic in values(var.topics) : topic.subscription == null || topic.dead_letters])
    error_message = "A topic with a subscription has dead_letters: what nobody can take has to go somewhere."
  }

  validation {
    condition = alltrue(flatten([
      for topic in values(var.topics) : [
        for member in concat(values(topic.publishers), values(topic.listeners), values(try(topic.subscription.subscribers, {}))) : !contains(["allUsers", "allAuthenticatedUsers"], member)
      ]
    ]))
    error_message = "No topic is public: allUsers and allAuthenticatedUsers are refused."
  }
}

variable "labels" {
  description = "Labels of topics and subscriptions."
  type        = map(string)
  default     = {}
}
