# Topics, what listens to them, and where messages go that nobody could take.

locals {
  agent = "serviceAccount:service-${var.project_number}@gcp-sa-pubsub.iam.gserviceaccount.com"

  subscriptions = { for name, topic in var.topics : name => topic.subscription if topic.subscription != null }
  with_dead     = { for name, topic in var.topics : name => topic if topic.dead_letters }
  publishers    = merge([for name, topic in var.topics : { for who, member in topic.publishers : "${name} ${who}" => { topic = name, member = member } }]...)
  listeners     = merge([for name, topic in var.topics : { for who, member in topic.listeners : "${name} ${who}" => { topic = name, member = member } }]...)
  subscribers   = merge([for name, subscription in local.subscriptions : { for who, member in subscription.subscribers : "${name} ${who}" => { topic = name, member = member } }]...)
}

resource "google_pubsub_schema" "main" {
  for_each = { for name, topic in var.topics : name => topic.schema if topic.schema != null }

  name       = "${var.prefix}-${each.key}"
  type       = "PROTOCOL_BUFFER"
  definition = each.value
}

resource "google_pubsub_topic" "main" {
  #checkov:skip=CKV_GCP_83:Google encrypts; a key of our own is for those who have to revoke it
  for_each = var.topics

  name   = "${var.prefix}-${each.key}"
  labels = var.labels
  # What was published can be asked for again for a day.
  message_retention_duration = "86400s"

  dynamic "schema_settings" {
    for_each = each.value.schema == null ? [] : [google_pubsub_schema.main[each.key].id]
    content {
      schema   = schema_settings.value
      encoding = "JSON"
    }
  }

  dynamic "message_storage_policy" {
    for_each = length(var.regions) == 0 ? [] : [var.regions]
    content {
      allowed_persistence_regions = message_storage_policy.value
    }
  }
}

resource "google_pubsub_subscription" "main" {
  for_each = local.subscriptions

  name                 = "${var.prefix}-${each.key}"
  topic                = google_pubsub_topic.main[each.key].id
  labels               = var.labels
  ack_deadline_seconds = each.value.ack_deadline_seconds

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead[each.key].id
    max_delivery_attempts = each.value.max_delivery_attempts
  }

  retry_policy {
    minimum_backoff = each.value.minimum_backoff
    maximum_backoff = each.value.maximum_backoff
  }

  # Without it a subscription that nobody listens to for a month is deleted.
  expiration_policy {
    ttl = ""
  }
}

resource "google_pubsub_topic" "dead" {
  #checkov:skip=CKV_GCP_83:Google encrypts; a key of our own is for those who have to revoke it
  for_each = local.with_dead

  name   = "${var.prefix}-${each.key}-dead"
  labels = var.labels

  dynamic "message_storage_policy" {
    for_each = length(var.regions) == 0 ? [] : [var.regions]
    content {
      allowed_persistence_regions = message_storage_policy.value
    }
  }
}

# A topic without a subscription keeps nothing: dead letters would vanish.
resource "google_pubsub_subscription" "dead" {
  for_each = local.with_dead

  name                       = "${var.prefix}-${each.key}-dead"
  topic                      = google_pubsub_topic.dead[each.key].id
  labels                     = var.labels
  ack_deadline_seconds       = 60
  message_retention_duration = "2678400s" # 31 days

  expiration_policy {
    ttl = ""
  }
}

# Pub/Sub itself moves dead letters: it publishes them there and acknowledges them here.
resource "google_pubsub_topic_iam_member" "dead_publisher" {
  for_each = local.with_dead

  topic  = google_pubsub_topic.dead[each.key].id
  role   = "roles/pubsub.publisher"
  member = local.agent
}

resource "google_pubsub_subscription_iam_member" "dead_subscriber" {
  for_each = local.subscriptions

  subscription = google_pubsub_subscription.main[each.key].id
  role         = "roles/pubsub.subscriber"
  member       = local.agent
}

resource "google_pubsub_topic_iam_member" "publisher" {
  for_each = local.publishers

  topic  = google_pubsub_topic.main[each.value.topic].id
  role   = "roles/pubsub.publisher"
  member = each.value.member
}

# Who has a right to the topic makes subscriptions of his own.
resource "google_pubsub_topic_iam_member" "listener" {
  for_each = local.listeners

  topic  = google_pubsub_topic.main[each.value.topic].id
  role   = "roles/pubsub.subscriber"
  member = each.value.member
}

resource "google_pubsub_subscription_iam_member" "subscriber" {
  for_each = local.subscribers

  subscription = google_pubsub_subscription.main[each.value.topic].id
  role         = "roles/pubsub.subscriber"
  member       = each.value.member
}

# Listeners move what they can't read there themselves, with the reason.
resource "google_pubsub_topic_iam_member" "dead_listener" {
  for_each = local.subscribers

  topic  = google_pubsub_topic.dead[each.value.topic].id
  role   = "roles/pubsub.publisher"
  member = each.value.member
}
