mock_provider "google" {
  override_during = plan

  mock_resource "google_pubsub_subscription" {
    defaults = { id = "projects/acme-dev-1/subscriptions/s" }
  }
}

variables {
  project_id        = "acme-dev-1"
  pubsub_agent      = "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com"
  prefix            = "tandem-dev"
  location          = "asia-south1"
  topic             = "projects/acme-dev-1/topics/tandem-dev-usage-events"
  dead_letter_topic = "projects/acme-dev-1/topics/tandem-dev-usage-events-dead"
  self_hosted = {
    our-gpus = { usd_per_month = 649, managed_model = "gemini-2.5-flash", managed_input_usd_per_million = 0.3, managed_output_usd_per_million = 2.5 }
  }
}

run "the_table_has_the_columns_of_the_events" {
  command = plan
  assert {
    condition     = contains([for column in jsondecode(google_bigquery_table.events.schema) : column.name], "event_id")
    error_message = "The schema is the one that the code publishes."
  }
  assert {
    condition     = google_bigquery_table.events.require_partition_filter && google_bigquery_table.events.time_partitioning[0].field == "occurred_at"
    error_message = "A query has to name a time."
  }
  assert {
    condition     = !strcontains(google_bigquery_table.events.schema, "prompt") && !strcontains(google_bigquery_table.events.schema, "content")
    error_message = "No text of users in the warehouse."
  }
}

run "pubsub_writes_and_what_is_refused_is_kept" {
  command = plan
  assert {
    condition     = google_pubsub_subscription.main.bigquery_config[0].table == "acme-dev-1.tandem_dev_usage.events" && google_pubsub_subscription.main.dead_letter_policy[0].dead_letter_topic == var.dead_letter_topic
    error_message = "Events go to the table, or to the dead letters."
  }
  assert {
    condition     = google_bigquery_table_iam_member.writer["roles/bigquery.dataEditor"].member == "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com"
    error_message = "Pub/Sub may write into this table, and into no other."
  }
}

run "each_event_counts_once" {
  command = plan
  assert {
    condition     = strcontains(google_bigquery_table.events_once.view[0].query, "QUALIFY ROW_NUMBER() OVER (PARTITION BY event_id")
    error_message = "At least once becomes once."
  }
  assert {
    condition     = alltrue([for view in google_bigquery_table.view : strcontains(view.view[0].query, "acme-dev-1.tandem_dev_usage.events_once")])
    error_message = "Every other view reads the one without doubles."
  }
}

run "break_even_knows_what_we_pay" {
  command = plan
  assert {
    condition     = strcontains(google_bigquery_table.view["break_even"].view[0].query, "STRUCT('our-gpus' AS deployment, NUMERIC '649' AS usd_per_month")
    error_message = "The costs are in the query."
  }
}

run "without_gpus_of_our_own_nothing_breaks_even" {
  command = plan
  variables {
    self_hosted = {}
  }
  assert {
    condition     = !contains(keys(google_bigquery_table.view), "break_even")
    error_message = "There is nothing to compare."
  }
}

run "a_quote_in_a_name_is_refused" {
  command = plan
  variables {
    self_hosted = { "x' AS deployment), (SELECT 1" = { usd_per_month = 1, managed_model = "m", managed_input_usd_per_million = 1, managed_output_usd_per_million = 1 } }
  }
  expect_failures = [var.self_hosted]
}

run "gpus_for_nothing_are_refused" {
  command = plan
  variables {
    self_hosted = { our-gpus = { usd_per_month = 0, managed_model = "m", managed_input_usd_per_million = 1, managed_output_usd_per_million = 1 } }
  }
  expect_failures = [var.self_hosted]
}

run "a_short_topic_is_refused" {
  command = plan
  variables {
    topic = "usage-events"
  }
  expect_failures = [var.topic]
}

run "a_short_dead_letter_topic_is_refused" {
  command = plan
  variables {
    dead_letter_topic = "usage-events-dead"
  }
  expect_failures = [var.dead_letter_topic]
}

run "a_week_of_events_is_refused" {
  command = plan
  variables {
    retention_days = 7
  }
  expect_failures = [var.retention_days]
}

run "another_account_as_pubsub_is_refused" {
  command = plan
  variables {
    pubsub_agent = "serviceAccount:g@acme-dev-1.iam.gserviceaccount.com"
  }
  expect_failures = [var.pubsub_agent]
}

run "public_usage_is_refused" {
  command = plan
  variables {
    readers = { all = "allAuthenticatedUsers" }
  }
  expect_failures = [var.readers]
}
