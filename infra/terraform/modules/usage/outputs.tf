output "dataset" {
  description = "The dataset."
  value       = google_bigquery_dataset.main.dataset_id
}

output "subscription" {
  description = "Subscription that writes into the table, for its metrics."
  value       = google_pubsub_subscription.main.name
}
