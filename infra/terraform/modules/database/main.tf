# What both engines share: who may connect, and how services reach it.

locals {
  is_alloydb = var.engine == "alloydb"
  database   = local.is_alloydb ? "postgres" : "tandem"

  # PostgreSQL's name of a service account is its address without the ending.
  user_names = { for name, user in var.users : name => trimsuffix(user.email, ".gserviceaccount.com") }

  # Migrations make tables in the schema `public`; services only need rows. The pg_ roles are PostgreSQL's own.
  roles = {
    owner = [local.is_alloydb ? "alloydbsuperuser" : "cloudsqlsuperuser"]
    data  = ["pg_read_all_data", "pg_write_all_data"]
  }

  flags = {
    "max_connections" = tostring(var.max_connections)
    # A transaction that a dead process left open must not hold its locks for ever.
    "idle_in_transaction_session_timeout" = "60000"
    "log_lock_waits"                      = "on"
    "log_min_duration_statement"          = "1000"
    "log_checkpoints"                     = "on"
    "log_connections"                     = "on"
    "log_disconnections"                  = "on"
    "log_temp_files"                      = "0"
    "log_min_messages"                    = "warning"
    "log_min_error_statement"             = "error"
  }
}
