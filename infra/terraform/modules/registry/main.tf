# Our images, and a cache of Docker Hub's, which vLLM's come from: streaming of images and scanning work from here only.

resource "google_artifact_registry_repository" "images" {
  #checkov:skip=CKV_GCP_84:Google encrypts; a key of our own is for those who have to revoke it
  repository_id = "${var.prefix}-images"
  location      = var.region
  format        = "DOCKER"
  description   = "Images of the platform"
  labels        = var.labels

  docker_config {
    # A tag means the same image for ever, so that a rollback is one.
    immutable_tags = true
  }

  vulnerability_scanning_config {
    enablement_config = "INHERITED"
  }

  cleanup_policies {
    id     = "keep-latest"
    action = "KEEP"
    most_recent_versions {
      keep_count = 20
    }
  }

  cleanup_policies {
    id     = "delete-untagged"
    action = "DELETE"
    condition {
      tag_state  = "UNTAGGED"
      older_than = "${var.untagged_days * 86400}s"
    }
  }
}

resource "google_artifact_registry_repository" "docker_hub" {
  #checkov:skip=CKV_GCP_84:Google encrypts; a key of our own is for those who have to revoke it
  repository_id = "${var.prefix}-docker-hub"
  location      = var.region
  format        = "DOCKER"
  mode          = "REMOTE_REPOSITORY"
  description   = "Cache of Docker Hub"
  labels        = var.labels

  remote_repository_config {
    docker_repository {
      public_repository = "DOCKER_HUB"
    }
  }
}

locals {
  repositories = {
    images     = google_artifact_registry_repository.images.name
    docker-hub = google_artifact_registry_repository.docker_hub.name
  }
  pulls = merge([for repository in keys(local.repositories) : { for who, member in var.readers : "${repository} ${who}" => { repository = repository, member = member } }]...)
}

resource "google_artifact_registry_repository_iam_member" "reader" {
  for_each = local.pulls

  repository = local.repositories[each.value.repository]
  location   = var.region
  role       = "roles/artifactregistry.reader"
  member     = each.value.member
}

resource "google_artifact_registry_repository_iam_member" "writer" {
  for_each = var.writers

  repository = local.repositories["images"]
  location   = var.region
  role       = "roles/artifactregistry.writer"
  member     = each.value
}
