mock_provider "google" {
  override_during = plan

  mock_resource "google_pubsub_topic" {
    defaults = { id = "projects/acme-dev-1/topics/t" }
  }
  mock_resource "google_pubsub_schema" {
    defaults = { id = "projects/acme-dev-1/schemas/s" }
  }
  mock_resource "google_pubsub_subscription" {
    defaults = { id = "projects/acme-dev-1/subscriptions/s" }
  }
}

variables {
  project_id     = "acme-dev-1"
  project_number = "123456789012"
  prefix         = "tandem-dev"
  topics = {
    doorbell = {
      publishers   = { gateway = "serviceAccount:g@acme-dev-1.iam.gserviceaccount.com" }
      subscription = { subscribers = { worker = "serviceAccount:w@acme-dev-1.iam.gserviceaccount.com" } }
    }
    usage-events = { schema = "syntax = \"proto3\"; message M { string a = 1; }" }
  }
}

run "dead_letters_are_kept" {
  command = plan
  assert {
    condition     = google_pubsub_subscription.main["doorbell"].dead_letter_policy[0].max_delivery_attempts == 10
    error_message = "A message that nobody can take leaves the subscription."
  }
  assert {
    condition     = length(google_pubsub_subscription.dead) == 2 && alltrue([for subscription in google_pubsub_subscription.dead : subscription.expiration_policy[0].ttl == ""])
    error_message = "Every dead-letter topic has a subscription that never expires."
  }
}

run "pubsub_itself_may_move_dead_letters" {
  command = plan
  assert {
    condition     = google_pubsub_topic_iam_member.dead_publisher["doorbell"].member == "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com" && google_pubsub_subscription_iam_member.dead_subscriber["doorbell"].role == "roles/pubsub.subscriber"
    error_message = "It publishes to the dead-letter topic and acknowledges on the subscription; without either, dead letters stay for ever."
  }
}

run "listeners_may_put_away_what_they_can_not_read" {
  command = plan
  assert {
    condition     = google_pubsub_topic_iam_member.dead_listener["doorbell worker"].member == "serviceAccount:w@acme-dev-1.iam.gserviceaccount.com"
    error_message = "The worker publishes to the dead-letter topic."
  }
}

run "events_must_fit_their_schema" {
  command = plan
  assert {
    condition     = google_pubsub_topic.main["usage-events"].schema_settings[0].encoding == "JSON"
    error_message = "The topic refuses what does not fit."
  }
}

run "messages_stay_in_their_regions" {
  command = plan
  variables {
    regions = ["asia-south1"]
  }
  assert {
    condition     = contains(google_pubsub_topic.main["doorbell"].message_storage_policy[0].allowed_persistence_regions, "asia-south1")
    error_message = "Messages are stored in the named regions only."
  }
}

run "a_subscription_that_nobody_hears_stays" {
  command = plan
  assert {
    condition     = google_pubsub_subscription.main["doorbell"].expiration_policy[0].ttl == ""
    error_message = "Workers may be scaled to none for longer than a month."
  }
}

run "others_make_subscriptions_of_their_own" {
  command = plan
  variables {
    topics = { batch-events = { listeners = { etl = "serviceAccount:etl@acme-dev-1.iam.gserviceaccount.com" }, dead_letters = false } }
  }
  assert {
    condition     = google_pubsub_topic_iam_member.listener["batch-events etl"].role == "roles/pubsub.subscriber"
    error_message = "A listener may attach a subscription to the topic."
  }
  assert {
    condition     = length(google_pubsub_topic.dead) == 0 && length(google_pubsub_subscription.dead) == 0
    error_message = "Nothing of ours listens, so nothing is dead-lettered."
  }
}

run "a_subscription_without_dead_letters_is_refused" {
  command = plan
  variables {
    topics = { doorbell = { dead_letters = false, subscription = { subscribers = {} } } }
  }
  expect_failures = [var.topics]
}

run "a_public_listener_is_refused" {
  command = plan
  variables {
    topics = { doorbell = { listeners = { all = "allAuthenticatedUsers" } } }
  }
  expect_failures = [var.topics]
}

run "a_public_topic_is_refused" {
  command = plan
  variables {
    topics = { doorbell = { publishers = { all = "allUsers" } } }
  }
  expect_failures = [var.topics]
}

run "a_deadline_of_an_hour_is_refused" {
  command = plan
  variables {
    topics = { doorbell = { subscription = { subscribers = {}, ack_deadline_seconds = 3600 } } }
  }
  expect_failures = [var.topics]
}

run "one_attempt_is_refused" {
  command = plan
  variables {
    topics = { doorbell = { subscription = { subscribers = {}, max_delivery_attempts = 1 } } }
  }
  expect_failures = [var.topics]
}

run "a_dead_letter_topic_of_ones_own_is_refused" {
  command = plan
  variables {
    topics = { doorbell-dead = {} }
  }
  expect_failures = [var.topics]
}

run "a_projects_name_is_no_number" {
  command = plan
  variables {
    project_number = "acme-dev-1"
  }
  expect_failures = [var.project_number]
}
