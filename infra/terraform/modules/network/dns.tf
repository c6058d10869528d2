# Names inside the network.

resource "google_dns_managed_zone" "internal" {
  name        = "${var.prefix}-internal"
  dns_name    = var.internal_domain
  description = "Databases and gateways in front of models."
  visibility  = "private"
  labels      = var.labels

  private_visibility_config {
    networks {
      network_url = google_compute_network.main.id
    }
  }
}

# Services with internal ingress answer only calls that come through the network: their names lead to Google's private addresses.
resource "google_dns_managed_zone" "run" {
  name        = "${var.prefix}-run-app"
  dns_name    = "run.app."
  description = "Cloud Run through the network."
  visibility  = "private"
  labels      = var.labels

  private_visibility_config {
    networks {
      network_url = google_compute_network.main.id
    }
  }
}

resource "google_dns_record_set" "run" {
  managed_zone = google_dns_managed_zone.run.name
  name         = "*.run.app."
  type         = "A"
  ttl          = 300
  rrdatas      = ["199.36.153.8", "199.36.153.9", "199.36.153.10", "199.36.153.11"]
}
