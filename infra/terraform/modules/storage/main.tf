# Buckets, and who may use each.

resource "google_storage_bucket" "main" {
  #checkov:skip=CKV_GCP_62:Access is in Cloud Audit Logs; usage logs are for public websites
  #checkov:skip=CKV_GCP_78:Blobs are immutable and removed on purpose; buckets whose objects change are versioned
  for_each = var.buckets

  name                        = "${var.project_id}-${var.prefix}-${each.key}"
  location                    = var.location
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = var.force_destroy
  labels                      = var.labels

  versioning {
    enabled = each.value.versioned
  }

  soft_delete_policy {
    retention_duration_seconds = each.value.soft_delete_days * 86400
  }

  dynamic "encryption" {
    for_each = each.value.kms_key[*]
    content {
      default_kms_key_name = encryption.value
    }
  }

  dynamic "lifecycle_rule" {
    for_each = each.value.versioned ? [each.value.noncurrent_days] : []
    content {
      condition {
        days_since_noncurrent_time = lifecycle_rule.value
        with_state                 = "ARCHIVED"
      }
      action {
        type = "Delete"
      }
    }
  }

  dynamic "lifecycle_rule" {
    for_each = each.value.delete_after_days[*]
    content {
      condition {
        age            = lifecycle_rule.value
        matches_prefix = each.value.delete_prefix == "" ? null : [each.value.delete_prefix]
      }
      action {
        type = "Delete"
      }
    }
  }

  # Parts of uploads that nobody finished.
  lifecycle_rule {
    condition {
      age = 7
    }
    action {
      type = "AbortIncompleteMultipartUpload"
    }
  }
}

locals {
  readers = merge([for name, bucket in var.buckets : { for who, member in bucket.readers : "${name} ${who}" => { bucket = name, member = member } }]...)
  writers = merge([for name, bucket in var.buckets : { for who, member in bucket.writers : "${name} ${who}" => { bucket = name, member = member } }]...)
}

resource "google_storage_bucket_iam_member" "reader" {
  for_each = local.readers

  bucket = google_storage_bucket.main[each.value.bucket].name
  role   = "roles/storage.objectViewer"
  member = each.value.member
}

resource "google_storage_bucket_iam_member" "writer" {
  for_each = local.writers

  bucket = google_storage_bucket.main[each.value.bucket].name
  role   = "roles/storage.objectUser"
  member = each.value.member
}
