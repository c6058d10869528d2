output "notification_channels" {
  description = "Channels that are told, for the budget too."
  value       = local.channels
}

output "dashboard" {
  description = "The dashboard."
  value       = google_monitoring_dashboard.main.id
}
