output "name" {
  description = "Name of the service; known once its callers may call."
  value       = google_cloud_run_v2_service.main.name
  depends_on  = [google_cloud_run_v2_service_iam_member.invoker]
}

output "uri" {
  description = "Address of an internal service; a public one has none but the load balancer's."
  value       = google_cloud_run_v2_service.main.uri
  depends_on  = [google_cloud_run_v2_service_iam_member.invoker]
}

output "max_instances" {
  description = "Instances at most."
  value       = var.max_instances
}
