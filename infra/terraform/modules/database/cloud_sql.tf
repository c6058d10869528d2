resource "google_sql_database_instance" "main" {
  #checkov:skip=CKV_GCP_6:ssl_mode = ENCRYPTED_ONLY stands for require_ssl
  #checkov:skip=CKV_GCP_51:It is in local.flags, which the check does not follow
  #checkov:skip=CKV_GCP_52:It is in local.flags, which the check does not follow
  #checkov:skip=CKV_GCP_53:It is in local.flags, which the check does not follow
  #checkov:skip=CKV_GCP_54:It is in local.flags, which the check does not follow
  #checkov:skip=CKV_GCP_109:It is in local.flags, which the check does not follow
  #checkov:skip=CKV_GCP_110:It is in local.flags, which the check does not follow
  #checkov:skip=CKV_GCP_108:Everybody comes through the proxy: names of hosts cost a look-up and say nothing
  #checkov:skip=CKV_GCP_111:All statements would be in the log, with values of tenants; slow ones are
  count = local.is_alloydb ? 0 : 1

  name                = var.prefix
  region              = var.region
  database_version    = "POSTGRES_${var.postgres_version}"
  deletion_protection = var.deletion_protection
  encryption_key_name = var.kms_key

  settings {
    tier                        = "db-custom-${var.vcpus}-${var.memory_mib}"
    edition                     = "ENTERPRISE"
    availability_type           = var.highly_available ? "REGIONAL" : "ZONAL"
    disk_type                   = "PD_SSD"
    disk_autoresize             = true
    deletion_protection_enabled = var.deletion_protection
    # Only through the proxy or a connector: they check the identity and encrypt.
    connector_enforcement = "REQUIRED"
    user_labels           = var.labels

    ip_configuration {
      ipv4_enabled                                  = false
      private_network                               = var.network_id
      allocated_ip_range                            = var.allocated_range
      ssl_mode                                      = "ENCRYPTED_ONLY"
      enable_private_path_for_google_cloud_services = true
    }

    backup_configuration {
      enabled                        = true
      start_time                     = "19:00"
      point_in_time_recovery_enabled = true
      transaction_log_retention_days = var.recovery_days

      backup_retention_settings {
        retained_backups = var.backup_days
      }
    }

    maintenance_window {
      day          = 7
      hour         = 20
      update_track = "stable"
    }

    insights_config {
      query_insights_enabled  = true
      record_application_tags = true
      # Parameters may be tenants' data; texts of statements have none.
      record_client_address = false
      query_string_length   = 1024
    }

    dynamic "database_flags" {
      for_each = merge(local.flags, {
        "cloudsql.iam_authentication" = "on"
        "cloudsql.enable_pgaudit"     = "on"
        "pgaudit.log"                 = "ddl,role"
      })
      content {
        name  = database_flags.key
        value = database_flags.value
      }
    }
  }

  lifecycle {
    # Grown by itself.
    ignore_changes = [settings[0].disk_size]
  }
}

resource "google_sql_database" "main" {
  count = local.is_alloydb ? 0 : 1

  name     = local.database
  instance = google_sql_database_instance.main[0].name
  # Dropping it would fail on the objects in it; the instance takes it along.
  deletion_policy = "ABANDON"
}

resource "google_sql_user" "main" {
  for_each = local.is_alloydb ? {} : var.users

  name            = local.user_names[each.key]
  instance        = google_sql_database_instance.main[0].name
  type            = "CLOUD_IAM_SERVICE_ACCOUNT"
  database_roles  = local.roles[each.value.access]
  deletion_policy = "ABANDON"
}
