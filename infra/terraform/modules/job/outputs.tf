output "name" {
  description = "Name of the job; known once its run for this image has succeeded."
  value       = google_cloud_run_v2_job.main.name
}
