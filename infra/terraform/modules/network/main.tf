# One VPC; in each region a subnet for Cloud Run, one for each cluster and one for the proxies of internal gateways.

resource "google_compute_network" "main" {
  name                    = var.prefix
  auto_create_subnetworks = false
  # Workers of one region may ask models of another.
  routing_mode = "GLOBAL"

  lifecycle {
    precondition {
      condition     = length(local.overlaps) == 0
      error_message = "These blocks of addresses overlap: ${join(", ", local.overlaps)}."
    }
  }
}

locals {
  subnets = merge([
    for region, cut in local.cuts : {
      "run-${region}"     = { region = region, cidr = cut.run, ranges = {} }
      "models-${region}"  = { region = region, cidr = cut.models_nodes, ranges = { pods = cut.models_pods, services = cut.models_services } }
      "workers-${region}" = { region = region, cidr = cut.workers_nodes, ranges = { pods = cut.workers_pods, services = cut.workers_services } }
    }
  ]...)
}

resource "google_compute_subnetwork" "main" {
  for_each = local.subnets

  name                     = "${var.prefix}-${each.key}"
  region                   = each.value.region
  network                  = google_compute_network.main.id
  ip_cidr_range            = each.value.cidr
  private_ip_google_access = true

  dynamic "secondary_ip_range" {
    for_each = each.value.ranges
    content {
      range_name    = secondary_ip_range.key
      ip_cidr_range = secondary_ip_range.value
    }
  }

  log_config {
    aggregation_interval = "INTERVAL_10_MIN"
    flow_sampling        = 0.1
    metadata             = "INCLUDE_ALL_METADATA"
  }
}

# Envoy proxies of the internal gateway in front of models (gke-l7-rilb).
resource "google_compute_subnetwork" "proxy" {
  for_each = local.cuts

  name          = "${var.prefix}-proxy-${each.key}"
  region        = each.key
  network       = google_compute_network.main.id
  ip_cidr_range = each.value.proxy
  purpose       = "REGIONAL_MANAGED_PROXY"
  role          = "ACTIVE"
}

resource "google_compute_router" "main" {
  for_each = var.regions

  name    = "${var.prefix}-${each.key}"
  region  = each.key
  network = google_compute_network.main.id
}

resource "google_compute_address" "nat" {
  for_each = merge([
    for region in keys(var.regions) : { for place in range(var.nat_addresses) : "${region}-${place}" => region }
  ]...)

  name   = "${var.prefix}-nat-${each.key}"
  region = each.value
  labels = var.labels
}

# The way out to providers and registries; nothing has a public address of its own.
resource "google_compute_router_nat" "main" {
  for_each = var.regions

  name                               = "${var.prefix}-${each.key}"
  router                             = google_compute_router.main[each.key].name
  region                             = each.key
  nat_ip_allocate_option             = var.nat_addresses == 0 ? "AUTO_ONLY" : "MANUAL_ONLY"
  nat_ips                            = var.nat_addresses == 0 ? null : [for key, address in google_compute_address.nat : address.self_link if startswith(key, "${each.key}-")]
  source_subnetwork_ip_ranges_to_nat = "ALL_SUBNETWORKS_ALL_IP_RANGES"
  # Streams hold a port for minutes, so a busy instance takes more than the fixed share.
  enable_dynamic_port_allocation      = true
  enable_endpoint_independent_mapping = false
  min_ports_per_vm                    = 128
  max_ports_per_vm                    = 8192

  log_config {
    enable = true
    filter = "ERRORS_ONLY"
  }
}

# Managed services (Cloud SQL, AlloyDB) by private address.
resource "google_compute_global_address" "private_services" {
  name          = "${var.prefix}-private-services"
  purpose       = "VPC_PEERING"
  address_type  = "INTERNAL"
  address       = split("/", var.private_services_cidr)[0]
  prefix_length = tonumber(split("/", var.private_services_cidr)[1])
  network       = google_compute_network.main.id
}

resource "google_service_networking_connection" "private_services" {
  network                 = google_compute_network.main.id
  service                 = "servicenetworking.googleapis.com"
  reserved_peering_ranges = [google_compute_global_address.private_services.name]
  # Google keeps the peering for days after the last database is gone, and an ordinary destroy waits for that in vain.
  deletion_policy = "ABANDON"
}

resource "google_vpc_access_connector" "main" {
  for_each = var.serverless_egress == "connector" ? local.cuts : {}

  # At most 25 characters.
  name          = substr("${var.prefix}-${replace(each.key, "/^([a-z])[a-z]*-([a-z])[a-z]*/", "$1$2")}", 0, 25)
  region        = each.key
  network       = google_compute_network.main.name
  ip_cidr_range = each.value.connector
  machine_type  = "e2-standard-4"
  min_instances = 2
  max_instances = 10
}
