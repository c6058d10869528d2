output "agent" {
  description = "Pub/Sub's own account, as a member; it is there once there are topics."
  value       = local.agent
  depends_on  = [google_pubsub_topic.main, google_pubsub_topic.dead]
}

output "topics" {
  description = "Full names of the topics (projects/P/topics/T), by ours; known once publishers may publish."
  value       = { for name, topic in google_pubsub_topic.main : name => "projects/${var.project_id}/topics/${topic.name}" }
  depends_on  = [google_pubsub_topic_iam_member.publisher]
}

output "subscriptions" {
  description = "Names of the subscriptions that listeners pull from, by topic."
  value       = { for name, subscription in google_pubsub_subscription.main : name => subscription.name }
  depends_on  = [google_pubsub_subscription_iam_member.subscriber]
}

output "dead_letter_topics" {
  description = "Full names of the dead-letter topics, by topic; known once Pub/Sub may publish there."
  value       = { for name, topic in google_pubsub_topic.dead : name => "projects/${var.project_id}/topics/${topic.name}" }
  depends_on  = [google_pubsub_topic_iam_member.dead_publisher, google_pubsub_topic_iam_member.dead_listener]
}

output "dead_letter_subscriptions" {
  description = "Names of the subscriptions that keep dead letters: anything in them is an alarm."
  value       = [for subscription in google_pubsub_subscription.dead : subscription.name]
}
