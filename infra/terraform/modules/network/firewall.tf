# What is not allowed here is denied: a custom network lets nothing in. GKE adds what its own clusters need.

resource "google_compute_firewall" "models" {
  name        = "${var.prefix}-callers-to-models"
  description = "Orchestrators on Cloud Run and in the workers' clusters reach model servers."
  network     = google_compute_network.main.id
  direction   = "INGRESS"
  source_ranges = flatten([
    for region, cut in local.cuts : [
      cut.run, cut.workers_pods, cut.proxy,
      # A connector's machines have addresses of its own range.
      var.serverless_egress == "connector" ? [cut.connector] : [],
    ]
  ])
  destination_ranges = [for cut in local.cuts : cut.models_pods]

  allow {
    protocol = "tcp"
    ports    = [tostring(var.model_port)]
  }

  log_config {
    metadata = "EXCLUDE_ALL_METADATA"
  }
}

resource "google_compute_firewall" "health_checks" {
  name               = "${var.prefix}-health-checks-to-models"
  description        = "Google's health checkers, for internal gateways."
  network            = google_compute_network.main.id
  direction          = "INGRESS"
  source_ranges      = ["35.191.0.0/16", "130.211.0.0/22"]
  destination_ranges = [for cut in local.cuts : cut.models_pods]

  allow {
    protocol = "tcp"
    ports    = [tostring(var.model_port)]
  }
}
