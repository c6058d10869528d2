# Containers of secrets, and who may read each. No values: gcloud secrets versions add NAME --data-file=-

resource "google_secret_manager_secret" "main" {
  for_each = var.secrets

  secret_id           = "${var.prefix}-${each.key}"
  deletion_protection = var.deletion_protection
  # A version that was destroyed by mistake can be brought back for a day.
  version_destroy_ttl = "86400s"
  annotations         = { purpose = each.value.description }
  labels              = var.labels

  replication {
    dynamic "auto" {
      for_each = length(var.locations) == 0 ? [1] : []
      content {
        dynamic "customer_managed_encryption" {
          for_each = var.kms_key[*]
          content {
            kms_key_name = customer_managed_encryption.value
          }
        }
      }
    }

    dynamic "user_managed" {
      for_each = length(var.locations) == 0 ? [] : [1]
      content {
        dynamic "replicas" {
          for_each = var.locations
          content {
            location = replicas.value
          }
        }
      }
    }
  }
}

locals {
  readers = merge([for name, secret in var.secrets : { for who, member in secret.readers : "${name} ${who}" => { secret = name, member = member } }]...)
}

resource "google_secret_manager_secret_iam_member" "reader" {
  for_each = local.readers

  secret_id = google_secret_manager_secret.main[each.value.secret].id
  role      = "roles/secretmanager.secretAccessor"
  member    = each.value.member
}
