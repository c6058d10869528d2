terraform {
  required_version = ">= 1.11.0"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 8.7.0, < 9.0.0"
    }
  }

  # bucket comes with -backend-config: the output state_bucket of bootstrap.
  backend "gcs" {
    prefix = "platform"
  }
}

provider "google" {
  project = var.project_id
  region  = var.primary_region
  # Budgets are billed to the project that asks.
  billing_project       = var.project_id
  user_project_override = true

  default_labels = local.labels
}
