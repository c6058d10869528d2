mock_provider "google" {
  override_during = plan

  mock_resource "google_monitoring_notification_channel" {
    defaults = { id = "projects/acme-dev-1/notificationChannels/1" }
  }
  mock_resource "google_monitoring_slo" {
    defaults = { id = "projects/1/services/tandem-dev-api/serviceLevelObjectives/availability" }
  }
  mock_resource "google_monitoring_uptime_check_config" {
    defaults = { uptime_check_id = "tandem-dev-api" }
  }
}

variables {
  project_id                = "acme-dev-1"
  prefix                    = "tandem-dev"
  emails                    = { oncall = "oncall@example.com" }
  load_balancer             = { url_map = "tandem-dev", backend = "tandem-dev-api" }
  domain                    = "ai.example.com"
  database                  = { engine = "cloud-sql", instance = "tandem-dev", max_connections = 400 }
  subscriptions             = ["tandem-dev-doorbell"]
  dead_letter_subscriptions = ["tandem-dev-doorbell-dead", "tandem-dev-usage-events-dead"]
}

run "errors_are_alarms_by_how_fast_they_use_up_the_allowance" {
  command = plan
  assert {
    condition     = google_monitoring_alert_policy.burn["fast"].combiner == "AND" && length(google_monitoring_alert_policy.burn["fast"].conditions) == 2
    error_message = "A long window and a short one, both."
  }
  assert {
    condition     = strcontains(google_monitoring_alert_policy.burn["slow"].conditions[0].condition_threshold[0].filter, "select_slo_burn_rate")
    error_message = "Burn rates of the objective."
  }
}

run "every_dead_letter_is_an_alarm" {
  command = plan
  assert {
    condition     = google_monitoring_alert_policy.threshold["dead-letters tandem-dev-doorbell-dead"].conditions[0].condition_threshold[0].threshold_value == 0
    error_message = "One dead letter is enough."
  }
  assert {
    condition     = google_monitoring_alert_policy.threshold["backlog tandem-dev-doorbell"].conditions[0].condition_threshold[0].threshold_value == 600
    error_message = "So is a message that waits for ten minutes."
  }
}

run "kv_cache_is_watched_by_its_present_name" {
  command = plan
  assert {
    condition     = strcontains(google_monitoring_alert_policy.alarm["kv_cache_full"].conditions[0].condition_prometheus_query_language[0].query, "vllm:kv_cache_usage_perc")
    error_message = "gpu_cache_usage_perc is gone, and the duty cycle of a GPU says nothing."
  }
}

run "every_alarm_tells_somebody_what_to_do" {
  command = plan
  assert {
    condition = alltrue([
      for policy in concat(values(google_monitoring_alert_policy.alarm), values(google_monitoring_alert_policy.threshold), values(google_monitoring_alert_policy.burn)) :
      length(policy.notification_channels) == 1 && length(policy.documentation[0].content) > 20
    ])
    error_message = "An alarm without a reader or without a hint is noise."
  }
}

run "the_dashboard_is_readable" {
  command = plan
  assert {
    condition     = length(jsondecode(google_monitoring_dashboard.main.dashboard_json).mosaicLayout.tiles) == 16
    error_message = "Sixteen charts."
  }
}

run "alloydb_has_no_metrics_of_cloud_sql" {
  command = plan
  variables {
    database = { engine = "alloydb", instance = "x", max_connections = 400 }
  }
  assert {
    condition     = length([for name in keys(google_monitoring_alert_policy.threshold) : name if startswith(name, "database")]) == 0
    error_message = "Alarms on metrics that don't exist say nothing."
  }
}

run "a_name_is_no_address" {
  command = plan
  variables {
    emails = { oncall = "oncall" }
  }
  expect_failures = [var.emails]
}

run "a_perfect_goal_is_refused" {
  command = plan
  variables {
    availability_goal = 1
  }
  expect_failures = [var.availability_goal]
}

run "no_time_for_a_first_token_is_refused" {
  command = plan
  variables {
    first_token_seconds = 0
  }
  expect_failures = [var.first_token_seconds]
}

run "a_percentage_is_no_share" {
  command = plan
  variables {
    kv_cache_share = 90
  }
  expect_failures = [var.kv_cache_share]
}

run "a_month_for_a_batch_is_refused" {
  command = plan
  variables {
    batch_hours = 720
  }
  expect_failures = [var.batch_hours]
}
