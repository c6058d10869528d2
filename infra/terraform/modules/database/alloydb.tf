resource "google_alloydb_cluster" "main" {
  count = local.is_alloydb ? 1 : 0

  cluster_id          = var.prefix
  location            = var.region
  database_version    = "POSTGRES_${var.postgres_version}"
  deletion_protection = var.deletion_protection
  labels              = var.labels

  network_config {
    network            = var.network_id
    allocated_ip_range = var.allocated_range
  }

  dynamic "encryption_config" {
    for_each = var.kms_key[*]
    content {
      kms_key_name = encryption_config.value
    }
  }

  continuous_backup_config {
    enabled              = true
    recovery_window_days = var.recovery_days
  }

  automated_backup_policy {
    enabled = true
    quantity_based_retention {
      count = var.backup_days
    }
    weekly_schedule {
      days_of_week = ["MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY"]
      start_times {
        hours = 19
      }
    }
  }
}

resource "google_alloydb_instance" "main" {
  count = local.is_alloydb ? 1 : 0

  cluster           = google_alloydb_cluster.main[0].name
  instance_id       = "primary"
  instance_type     = "PRIMARY"
  availability_type = var.highly_available ? "REGIONAL" : "ZONAL"
  labels            = var.labels

  machine_config {
    cpu_count = var.vcpus
  }

  client_connection_config {
    require_connectors = true
    ssl_config {
      ssl_mode = "ENCRYPTED_ONLY"
    }
  }

  database_flags = merge(local.flags, {
    "alloydb.iam_authentication" = "on"
    "alloydb.enable_pgaudit"     = "on"
    "pgaudit.log"                = "ddl,role"
  })

  lifecycle {
    precondition {
      condition     = contains([2, 4, 8, 16, 32, 64, 96], var.vcpus)
      error_message = "AlloyDB has 2, 4, 8, 16, 32, 64 or 96 vCPUs, not ${var.vcpus}."
    }
  }
}

resource "google_alloydb_user" "main" {
  for_each = local.is_alloydb ? var.users : {}

  cluster        = google_alloydb_cluster.main[0].name
  user_id        = local.user_names[each.key]
  user_type      = "ALLOYDB_IAM_USER"
  database_roles = concat(["alloydbiamuser"], local.roles[each.value.access])

  depends_on = [google_alloydb_instance.main]
}
