output "address" {
  description = "Address that the domains point to."
  value       = google_compute_global_address.main.address
}

output "dns_records" {
  description = "Records that the domains need: the address of each, and the proof for its certificate."
  value = concat(
    [for domain in var.domains : { name = "${domain}.", type = "A", data = google_compute_global_address.main.address }],
    [for authorization in google_certificate_manager_dns_authorization.main : {
      name = one(authorization.dns_resource_record[*].name)
      type = one(authorization.dns_resource_record[*].type)
      data = one(authorization.dns_resource_record[*].data)
    }],
  )
}

output "backend_services" {
  description = "Names of the backend services, for their metrics."
  value       = { for name, backend in google_compute_backend_service.main : name => backend.name }
}

output "url_map" {
  description = "Name of the load balancer, for its metrics."
  value       = google_compute_url_map.main.name
}
