# What has to be there before any other root can be applied: APIs, the state's bucket and its key.

locals {
  labels = merge({ app = "tandem", managed-by = "terraform" }, var.labels)

  apis = toset([
    "alloydb", "artifactregistry", "bigquery", "binaryauthorization", "bigquerystorage", "billingbudgets", "certificatemanager",
    "cloudbuild", "cloudkms", "cloudresourcemanager", "cloudtrace", "compute", "container", "containersecurity", "dns", "gkebackup", "iam",
    "iamcredentials", "logging", "monitoring", "networkconnectivity", "pubsub", "run", "secretmanager",
    "servicenetworking", "serviceusage", "sqladmin", "storage", "sts", "vpcaccess", "aiplatform",
  ])
}

resource "google_project_service" "api" {
  for_each = local.apis

  project            = var.project_id
  service            = "${each.key}.googleapis.com"
  disable_on_destroy = false
}

# Who read which secret, and who acted as whom: Google logs neither by itself.
resource "google_project_iam_audit_config" "main" {
  for_each = toset(["iam", "secretmanager", "sts"])

  project = var.project_id
  service = "${each.key}.googleapis.com"

  audit_log_config {
    log_type = "ADMIN_READ"
  }
  audit_log_config {
    log_type = "DATA_READ"
  }

  depends_on = [google_project_service.api]
}

data "google_project" "this" {
  project_id = var.project_id
}

data "google_storage_project_service_account" "this" {
  project    = var.project_id
  depends_on = [google_project_service.api]
}

resource "google_kms_key_ring" "state" {
  name     = "${var.prefix}-state"
  location = var.region

  depends_on = [google_project_service.api]
}

resource "google_kms_crypto_key" "state" {
  name            = "state"
  key_ring        = google_kms_key_ring.state.id
  rotation_period = "7776000s" # 90 days
  labels          = local.labels

  lifecycle {
    prevent_destroy = true
  }
}

resource "google_kms_crypto_key_iam_member" "state_bucket" {
  crypto_key_id = google_kms_crypto_key.state.id
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = "serviceAccount:${data.google_storage_project_service_account.this.email_address}"
}

resource "google_storage_bucket" "state" {
  #checkov:skip=CKV_GCP_62:Access is in Cloud Audit Logs; usage logs are for public websites
  name                        = "${var.project_id}-${var.prefix}-state"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  labels                      = local.labels

  versioning {
    enabled = true
  }

  encryption {
    default_kms_key_name = google_kms_crypto_key.state.id
  }

  lifecycle_rule {
    condition {
      num_newer_versions = 50
      with_state         = "ARCHIVED"
    }
    action {
      type = "Delete"
    }
  }

  soft_delete_policy {
    retention_duration_seconds = 2592000 # 30 days
  }

  lifecycle {
    prevent_destroy = true
  }

  depends_on = [google_kms_crypto_key_iam_member.state_bucket]
}

resource "google_storage_bucket_iam_member" "state_reader" {
  for_each = var.state_readers

  bucket = google_storage_bucket.state.name
  role   = "roles/storage.objectViewer"
  member = each.key
}
