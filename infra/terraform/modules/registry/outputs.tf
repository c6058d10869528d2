output "images" {
  description = "What the names of our images begin with: HOST/PROJECT/REPOSITORY."
  value       = "${var.region}-docker.pkg.dev/${google_artifact_registry_repository.images.project}/${google_artifact_registry_repository.images.repository_id}"
}

output "docker_hub" {
  description = "What the names of Docker Hub's images begin with, through the cache."
  value       = "${var.region}-docker.pkg.dev/${google_artifact_registry_repository.docker_hub.project}/${google_artifact_registry_repository.docker_hub.repository_id}"
}
