output "name" {
  description = "Name of the cluster."
  value       = google_container_cluster.main.name
}

output "location" {
  description = "Region of the cluster."
  value       = google_container_cluster.main.location
}

output "dns_endpoint" {
  description = "Name of the control plane, for kubectl and Helm."
  value       = one(google_container_cluster.main.control_plane_endpoints_config[0].dns_endpoint_config[*].endpoint)
}

output "services_domain" {
  description = "What the names of headless services end in, in the whole network: NAME.NAMESPACE.svc.DOMAIN."
  value       = "svc.${var.dns_domain}"
}

output "workload_pool" {
  description = "Pool of the Kubernetes accounts of this project's clusters; there is one once there is a cluster."
  value       = "${var.project_id}.svc.id.goog"
  depends_on  = [google_container_cluster.main]
}
