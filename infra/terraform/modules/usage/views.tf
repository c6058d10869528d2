locals {
  self_hosted_rows = [
    for name, cost in var.self_hosted : format(
      "STRUCT('%s' AS deployment, NUMERIC '%s' AS usd_per_month, '%s' AS managed_model, NUMERIC '%s' AS managed_input_usd_per_million, NUMERIC '%s' AS managed_output_usd_per_million)",
      name, cost.usd_per_month, cost.managed_model, cost.managed_input_usd_per_million, cost.managed_output_usd_per_million,
    )
  ]

  # Later ones read earlier ones.
  views = merge(
    {
      daily_cost = "What each tenant's use of each model cost, by day"
      daily_slo  = "How requests ended and how long they took, by day"
    },
    length(var.self_hosted) == 0 ? {} : { break_even = "What our own deployments cost beside the managed model that would stand in, by day" },
  )
  dataset = "${var.project_id}.${google_bigquery_dataset.main.dataset_id}"
}

resource "google_bigquery_table" "events_once" {
  #checkov:skip=CKV_GCP_80:A view holds no data
  #checkov:skip=CKV_GCP_121:A view holds no data and is made again
  dataset_id          = google_bigquery_dataset.main.dataset_id
  table_id            = "events_once"
  description         = "Each event once"
  deletion_protection = false
  labels              = var.labels

  view {
    query          = templatefile("${path.module}/views/events_once.sql", { dataset = local.dataset, days = var.retention_days })
    use_legacy_sql = false
  }

  depends_on = [google_bigquery_table.events]
}

resource "google_bigquery_table" "view" {
  #checkov:skip=CKV_GCP_80:A view holds no data
  #checkov:skip=CKV_GCP_121:A view holds no data and is made again
  for_each = local.views

  dataset_id          = google_bigquery_dataset.main.dataset_id
  table_id            = each.key
  description         = each.value
  deletion_protection = false
  labels              = var.labels

  view {
    query          = templatefile("${path.module}/views/${each.key}.sql", { dataset = local.dataset, self_hosted = join(",\n    ", local.self_hosted_rows) })
    use_legacy_sql = false
  }

  depends_on = [google_bigquery_table.events_once]
}
