output "instance" {
  description = "What the proxy is told to reach: PROJECT:REGION:NAME, or AlloyDB's full name."
  value       = local.is_alloydb ? google_alloydb_instance.main[0].name : google_sql_database_instance.main[0].connection_name
}

output "instance_name" {
  description = "Name of the instance, for its metrics."
  value       = local.is_alloydb ? google_alloydb_instance.main[0].name : google_sql_database_instance.main[0].name
}

output "proxy_args" {
  description = "Arguments of the proxy beside each process: it logs in as the process's service account."
  value = concat(
    local.is_alloydb ? [google_alloydb_instance.main[0].name] : ["--private-ip", google_sql_database_instance.main[0].connection_name],
    ["--auto-iam-authn", "--address=127.0.0.1", "--port=5432", "--structured-logs", "--max-sigterm-delay=10s", "--health-check", "--http-address=0.0.0.0", "--http-port=9801"],
  )
}

output "urls" {
  description = "TANDEM__DATA__DATABASE_URL of each service, through the proxy beside it. No secret: the proxy has the credentials."
  value       = { for name, user in local.user_names : name => "postgres://${urlencode(user)}@127.0.0.1:5432/${local.database}?sslmode=disable" }
  depends_on  = [google_sql_database.main, google_sql_user.main, google_alloydb_user.main]
}

output "roles" {
  description = "Roles in the project that whoever connects needs."
  value       = local.is_alloydb ? ["roles/alloydb.client", "roles/alloydb.databaseUser", "roles/serviceusage.serviceUsageConsumer"] : ["roles/cloudsql.client", "roles/cloudsql.instanceUser"]
}

output "max_connections" {
  description = "Connections that the server takes at once."
  value       = var.max_connections
}
