# Certificates that renew themselves, proven by a DNS record: they are ready before the domain points here.

locals {
  by_domain = { for domain in var.domains : replace(domain, ".", "-") => domain }
}

resource "google_certificate_manager_dns_authorization" "main" {
  for_each = local.by_domain

  name   = "${var.prefix}-${each.key}"
  domain = each.value
  labels = var.labels
}

resource "google_certificate_manager_certificate" "main" {
  for_each = local.by_domain

  name   = "${var.prefix}-${each.key}"
  labels = var.labels

  managed {
    domains            = [each.value]
    dns_authorizations = [google_certificate_manager_dns_authorization.main[each.key].id]
  }
}

resource "google_certificate_manager_certificate_map" "main" {
  name   = var.prefix
  labels = var.labels
}

resource "google_certificate_manager_certificate_map_entry" "main" {
  for_each = local.by_domain

  name         = each.key
  map          = google_certificate_manager_certificate_map.main.name
  hostname     = each.value
  certificates = [google_certificate_manager_certificate.main[each.key].id]
  labels       = var.labels
}

resource "google_dns_record_set" "authorization" {
  for_each = var.dns_zone == null ? {} : local.by_domain

  managed_zone = var.dns_zone
  name         = one(google_certificate_manager_dns_authorization.main[each.key].dns_resource_record[*].name)
  type         = one(google_certificate_manager_dns_authorization.main[each.key].dns_resource_record[*].type)
  ttl          = 300
  rrdatas      = [one(google_certificate_manager_dns_authorization.main[each.key].dns_resource_record[*].data)]
}

resource "google_dns_record_set" "address" {
  for_each = var.dns_zone == null ? {} : local.by_domain

  managed_zone = var.dns_zone
  name         = "${each.value}."
  type         = "A"
  ttl          = 300
  rrdatas      = [google_compute_global_address.main.address]
}
