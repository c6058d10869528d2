# Usage events in BigQuery: written there by Pub/Sub itself, at least once, and looked at through views that count each once.

resource "google_bigquery_dataset" "main" {
  dataset_id                 = "${replace(var.prefix, "-", "_")}_usage"
  location                   = var.location
  description                = "What each request and each line of a batch used; no prompts, no answers."
  delete_contents_on_destroy = !var.deletion_protection
  labels                     = var.labels

  dynamic "default_encryption_configuration" {
    for_each = var.kms_key[*]
    content {
      kms_key_name = default_encryption_configuration.value
    }
  }
}

resource "google_bigquery_table" "events" {
  #checkov:skip=CKV_GCP_80:The dataset has the key, where there is one (kms_key)
  dataset_id          = google_bigquery_dataset.main.dataset_id
  table_id            = "events"
  description         = "Events as they came: some twice. Use the view events_once."
  schema              = file("${path.module}/../../../schemas/usage_event.table.json")
  clustering          = ["tenant_id", "model", "deployment"]
  deletion_protection = var.deletion_protection
  labels              = var.labels
  # A query that forgets the time would pay for all of it.
  require_partition_filter = true

  time_partitioning {
    type          = "DAY"
    field         = "occurred_at"
    expiration_ms = var.retention_days * 86400000
  }
}

resource "google_bigquery_table_iam_member" "writer" {
  for_each = toset(["roles/bigquery.dataEditor", "roles/bigquery.metadataViewer"])

  dataset_id = google_bigquery_dataset.main.dataset_id
  table_id   = google_bigquery_table.events.table_id
  role       = each.key
  member     = var.pubsub_agent
}

resource "google_pubsub_subscription" "main" {
  name                 = "${var.prefix}-usage-events-bigquery"
  topic                = var.topic
  labels               = var.labels
  ack_deadline_seconds = 60

  bigquery_config {
    table            = "${var.project_id}.${google_bigquery_dataset.main.dataset_id}.${google_bigquery_table.events.table_id}"
    use_topic_schema = true
    # A field that is new in the schema does not stop the others until the table has it too.
    drop_unknown_fields = true
  }

  dead_letter_policy {
    dead_letter_topic     = var.dead_letter_topic
    max_delivery_attempts = 20
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  expiration_policy {
    ttl = ""
  }

  depends_on = [google_bigquery_table_iam_member.writer]
}

resource "google_pubsub_subscription_iam_member" "dead_subscriber" {
  subscription = google_pubsub_subscription.main.id
  role         = "roles/pubsub.subscriber"
  member       = var.pubsub_agent
}

resource "google_bigquery_dataset_iam_member" "reader" {
  for_each = var.readers

  dataset_id = google_bigquery_dataset.main.dataset_id
  role       = "roles/bigquery.dataViewer"
  member     = each.value
}
