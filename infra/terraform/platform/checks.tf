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
