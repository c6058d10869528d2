# The promise: requests that end without a server error. Alerts are about how fast the allowance is used up, not about single errors.

locals {
  requests = join(" AND ", [
    "metric.type=\"loadbalancing.googleapis.com/https/request_count\"",
    "resource.type=\"https_lb_rule\"",
    "resource.labels.url_map_name=\"${var.load_balancer.url_map}\"",
    "resource.labels.backend_target_name=\"${var.load_balancer.backend}\"",
  ])

  # A window, a shorter one that says whether it goes on, and how many times too fast.
  burns = {
    fast = { long = "3600s", short = "300s", rate = 14.4, text = "2 % of the month's allowance in an hour", severity = "CRITICAL" }
    slow = { long = "21600s", short = "1800s", rate = 6, text = "5 % of the month's allowance in six hours", severity = "WARNING" }
  }
}

resource "google_monitoring_custom_service" "api" {
  service_id   = "${var.prefix}-api"
  display_name = "${var.prefix} API"
}

resource "google_monitoring_slo" "availability" {
  service             = google_monitoring_custom_service.api.service_id
  slo_id              = "availability"
  display_name        = "Requests without server errors"
  goal                = var.availability_goal
  rolling_period_days = 28

  request_based_sli {
    good_total_ratio {
      total_service_filter = local.requests
      bad_service_filter   = "${local.requests} AND metric.labels.response_code_class=\"500\""
    }
  }
}

resource "google_monitoring_alert_policy" "burn" {
  for_each = local.burns

  display_name = "${var.prefix}: errors use up ${each.value.text}"
  combiner     = "AND"
  severity     = each.value.severity
  user_labels  = var.labels

  dynamic "conditions" {
    for_each = { long = each.value.long, short = each.value.short }
    content {
      display_name = "over ${conditions.value}"
      condition_threshold {
        filter          = "select_slo_burn_rate(\"${google_monitoring_slo.availability.id}\", \"${conditions.value}\")"
        comparison      = "COMPARISON_GT"
        threshold_value = each.value.rate
        duration        = "0s"
      }
    }
  }

  notification_channels = local.channels

  documentation {
    subject = "Tandem answers with server errors"
    content = "Look at the dashboard, then at `GET /admin/v1/deployments`. docs/operations.md has what to do for each error."
  }

  alert_strategy {
    auto_close = "86400s"
  }
}
