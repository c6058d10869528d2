# One global address; behind it the regions' services, the nearest first.

locals {
  backends = merge({ api = var.api }, length(var.console) == 0 ? {} : { console = var.console })
  groups   = merge([for backend, services in local.backends : { for region, service in services : "${backend}-${region}" => { region = region, service = service } }]...)
  # What the gateway answers; all else is the console's, where there is one.
  api_paths = ["/v1/*", "/admin/v1/*", "/openapi.json", "/docs", "/docs/*"]
}

resource "google_compute_region_network_endpoint_group" "main" {
  for_each = local.groups

  name                  = "${var.prefix}-${each.key}"
  region                = each.value.region
  network_endpoint_type = "SERVERLESS"

  cloud_run {
    service = each.value.service
  }

  lifecycle {
    create_before_destroy = true
  }
}

# No timeout_sec and no health checks: the API refuses both for serverless groups, and Cloud Run's own timeout holds.
resource "google_compute_backend_service" "main" {
  for_each = local.backends

  name                  = "${var.prefix}-${each.key}"
  protocol              = "HTTPS"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  security_policy       = google_compute_security_policy.main.id

  dynamic "backend" {
    for_each = each.value
    content {
      group = google_compute_region_network_endpoint_group.main["${each.key}-${backend.key}"].id
    }
  }

  # A region that answers nothing but errors gets no requests for a while, where there is another.
  dynamic "outlier_detection" {
    for_each = length(each.value) > 1 ? [1] : []
    content {
      consecutive_errors           = 5
      enforcing_consecutive_errors = 100
      max_ejection_percent         = 50
      base_ejection_time {
        seconds = 30
      }
      interval {
        seconds = 5
      }
    }
  }

  log_config {
    enable      = true
    sample_rate = var.log_share
  }
}

resource "google_compute_url_map" "main" {
  name            = var.prefix
  default_service = google_compute_backend_service.main[length(var.console) == 0 ? "api" : "console"].id

  host_rule {
    hosts        = var.domains
    path_matcher = "main"
  }

  path_matcher {
    name            = "main"
    default_service = google_compute_backend_service.main[length(var.console) == 0 ? "api" : "console"].id

    path_rule {
      paths   = local.api_paths
      service = google_compute_backend_service.main["api"].id
    }
  }
}

resource "google_compute_ssl_policy" "main" {
  name            = var.prefix
  profile         = "MODERN"
  min_tls_version = "TLS_1_2"
}

resource "google_compute_target_https_proxy" "main" {
  name            = var.prefix
  url_map         = google_compute_url_map.main.id
  certificate_map = "//certificatemanager.googleapis.com/${google_certificate_manager_certificate_map.main.id}"
  ssl_policy      = google_compute_ssl_policy.main.id
}

resource "google_compute_global_address" "main" {
  name   = var.prefix
  labels = var.labels
}

resource "google_compute_global_forwarding_rule" "https" {
  name                  = "${var.prefix}-https"
  ip_address            = google_compute_global_address.main.id
  port_range            = "443"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  target                = google_compute_target_https_proxy.main.id
  labels                = var.labels
}

resource "google_compute_url_map" "to_https" {
  name = "${var.prefix}-to-https"

  default_url_redirect {
    https_redirect         = true
    redirect_response_code = "PERMANENT_REDIRECT"
    strip_query            = false
  }
}

resource "google_compute_target_http_proxy" "to_https" {
  name    = "${var.prefix}-to-https"
  url_map = google_compute_url_map.to_https.id
}

resource "google_compute_global_forwarding_rule" "to_https" {
  name                  = "${var.prefix}-http"
  ip_address            = google_compute_global_address.main.id
  port_range            = "80"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  target                = google_compute_target_http_proxy.to_https.id
  labels                = var.labels
}
