# Who is told, and how the platform looks from outside.

resource "google_monitoring_notification_channel" "email" {
  for_each = var.emails

  display_name = "Tandem: ${each.key}"
  type         = "email"
  labels       = { email_address = each.value }
}

locals {
  channels = concat([for channel in google_monitoring_notification_channel.email : channel.id], var.notification_channels)
}

resource "google_monitoring_uptime_check_config" "api" {
  display_name = "${var.prefix} API"
  timeout      = "10s"
  period       = "60s"

  http_check {
    path         = "/openapi.json"
    port         = 443
    use_ssl      = true
    validate_ssl = true
  }

  monitored_resource {
    type   = "uptime_url"
    labels = { project_id = var.project_id, host = var.domain }
  }
}
