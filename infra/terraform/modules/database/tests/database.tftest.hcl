mock_provider "google" {
  override_during = plan
}

variables {
  project_id       = "acme-dev-1"
  prefix           = "tandem-dev"
  region           = "asia-south1"
  network_id       = "projects/acme-dev-1/global/networks/tandem-dev"
  allocated_range  = "tandem-dev-private-services"
  vcpus            = 2
  memory_mib       = 7680
  max_connections  = 400
  highly_available = false
  users = {
    migrate = { email = "tandem-dev-migrate@acme-dev-1.iam.gserviceaccount.com", access = "owner" }
    gateway = { email = "tandem-dev-gateway@acme-dev-1.iam.gserviceaccount.com", access = "data" }
  }
}

run "the_database_is_private_and_encrypted" {
  command = plan
  assert {
    condition     = !google_sql_database_instance.main[0].settings[0].ip_configuration[0].ipv4_enabled && google_sql_database_instance.main[0].settings[0].ip_configuration[0].ssl_mode == "ENCRYPTED_ONLY"
    error_message = "It has no public address and takes no plain connection."
  }
  assert {
    condition     = google_sql_database_instance.main[0].settings[0].connector_enforcement == "REQUIRED"
    error_message = "Only proxies and connectors, which check who asks."
  }
}

run "it_can_be_restored_to_any_second" {
  command = plan
  assert {
    condition     = google_sql_database_instance.main[0].settings[0].backup_configuration[0].point_in_time_recovery_enabled
    error_message = "Point-in-time recovery is on."
  }
}

run "production_survives_a_zone" {
  command = plan
  variables {
    highly_available = true
  }
  assert {
    condition     = google_sql_database_instance.main[0].settings[0].availability_type == "REGIONAL"
    error_message = "A standby is in another zone."
  }
}

run "services_log_in_by_identity_and_only_migrations_own_the_schema" {
  command = plan
  assert {
    condition     = google_sql_user.main["gateway"].name == "tandem-dev-gateway@acme-dev-1.iam" && google_sql_user.main["gateway"].type == "CLOUD_IAM_SERVICE_ACCOUNT"
    error_message = "No passwords."
  }
  assert {
    condition     = !contains(google_sql_user.main["gateway"].database_roles, "cloudsqlsuperuser") && contains(google_sql_user.main["migrate"].database_roles, "cloudsqlsuperuser")
    error_message = "Services read and write rows; migrations own the schema."
  }
  assert {
    condition     = output.urls["gateway"] == "postgres://tandem-dev-gateway%40acme-dev-1.iam@127.0.0.1:5432/tandem?sslmode=disable"
    error_message = "The address leads through the proxy: ${output.urls["gateway"]}"
  }
  assert {
    condition     = one([for flag in google_sql_database_instance.main[0].settings[0].database_flags : flag.value if flag.name == "cloudsql.iam_authentication"]) == "on"
    error_message = "IAM authentication is on."
  }
}

run "alloydb_is_a_switch" {
  command = plan
  variables {
    engine           = "alloydb"
    postgres_version = 16
    highly_available = true
  }
  assert {
    condition     = length(google_sql_database_instance.main) == 0 && google_alloydb_instance.main[0].availability_type == "REGIONAL"
    error_message = "AlloyDB stands in for Cloud SQL."
  }
  assert {
    condition     = contains(output.roles, "roles/alloydb.databaseUser") && google_alloydb_instance.main[0].client_connection_config[0].require_connectors
    error_message = "With its own roles and connectors."
  }
}

run "alloydb_has_no_six_vcpus" {
  command = plan
  variables {
    engine     = "alloydb"
    vcpus      = 6
    memory_mib = 15360
  }
  expect_failures = [google_alloydb_instance.main]
}

run "three_vcpus_are_refused" {
  command = plan
  variables {
    vcpus = 3
  }
  expect_failures = [var.vcpus]
}

run "too_much_memory_for_the_vcpus_is_refused" {
  command = plan
  variables {
    memory_mib = 15360
  }
  expect_failures = [var.memory_mib]
}

run "more_connections_than_the_memory_carries_are_refused" {
  command = plan
  variables {
    max_connections = 1000
  }
  expect_failures = [var.max_connections]
}

run "an_old_postgres_is_refused" {
  command = plan
  variables {
    postgres_version = 13
  }
  expect_failures = [var.postgres_version]
}

run "another_engine_is_refused" {
  command = plan
  variables {
    engine = "mysql"
  }
  expect_failures = [var.engine]
}

run "backups_of_a_day_are_refused" {
  command = plan
  variables {
    backup_days = 1
  }
  expect_failures = [var.backup_days]
}

run "a_month_of_transaction_logs_is_refused" {
  command = plan
  variables {
    recovery_days = 30
  }
  expect_failures = [var.recovery_days]
}

run "an_unknown_access_is_refused" {
  command = plan
  variables {
    users = { gateway = { email = "g@acme-dev-1.iam.gserviceaccount.com", access = "admin" } }
  }
  expect_failures = [var.users]
}
