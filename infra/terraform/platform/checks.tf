# What works, but not for long.

check "room_for_a_rollout" {
  assert {
    # Old and new instances of a gateway live side by side for a while.
    condition     = local.connections_needed + local.connections.gateways <= var.database.max_connections
    error_message = "While a new gateway replaces the old one at full load, ${local.connections_needed + local.connections.gateways} connections may be asked for; the database takes ${var.database.max_connections}."
  }
}

check "a_second_region_can_serve_alone" {
  assert {
    condition     = length(var.regions) == 1 || length(local.model_regions) != 1 || length(var.models) == 0
    error_message = "There are ${length(var.regions)} regions but models in one only: when it is away, all models of our own are."
  }
}

check "what_sleeps_can_be_woken" {
  assert {
    # KEDA wakes a model when orchestrators count requests for it; without a collector nobody sees what they count.
    condition     = var.images.collector != null || alltrue([for model in values(var.models) : model.min_replicas >= 1])
    error_message = "Nothing wakes these models: ${join(", ", [for name, model in var.models : name if model.min_replicas == 0])}. Set images.collector, so that requests are counted, or min_replicas = 1."
  }
}

check "the_backlog_is_measured" {
  assert {
    # Gateways measure it between requests; one that has CPU for requests only, or sleeps, does not. In dev one worker stays, and that is enough.
    condition     = var.environment == "dev" || length(local.worker_regions) == 0 || (var.gateway.billing == "instance" && var.gateway.min_instances >= 1 && var.images.collector != null)
    error_message = "Nobody sees how much batch work waits, so workers are not scaled: gateway.billing = \"instance\", gateway.min_instances = 1 or more and images.collector are needed."
  }
}
