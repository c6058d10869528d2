# What somebody has to look at. Metrics of ours come from the collectors, those of models from managed Prometheus.

locals {
  lb_requests = "loadbalancing_googleapis_com:https_request_count{monitored_resource=\"https_lb_rule\",url_map_name=\"${var.load_balancer.url_map}\""

  # By PromQL: a query that gives something when it is an alarm, how long that may last, and what to do.
  alarms = {
    first_token_slow = {
      query   = "histogram_quantile(0.95, sum by (le, gen_ai_request_model) (rate(gen_ai_client_operation_time_to_first_chunk_seconds_bucket[10m]))) > ${var.first_token_seconds}"
      lasting = "600s"
      text    = "First tokens are slow. More replicas of the model, or a fallback; batch gives way by itself."
    }
    requests_wait_in_models = {
      query   = "sum by (model_name, cluster) (avg_over_time({\"__name__\"=\"vllm:num_requests_waiting\"}[5m])) > 10"
      lasting = "300s"
      text    = "Model servers queue. More replicas, or GPUs are not to be had: look for pods that are Pending."
    }
    kv_cache_full = {
      query   = "max by (model_name, pod) (avg_over_time({\"__name__\"=\"vllm:kv_cache_usage_perc\"}[10m])) > ${var.kv_cache_share}"
      lasting = "600s"
      text    = "A KV cache is full: requests are preempted. More replicas, or a smaller max-model-len."
    }
    batch_late = {
      query   = "max(tandem_batch_oldest_seconds) > ${var.batch_hours * 3600}"
      lasting = "600s"
      text    = "The oldest batch runs out of time. More workers, or room in the models: tandem_batch_room."
    }
    limits_unchecked = {
      query   = "sum(rate(tandem_limits_unknown_total[5m])) > 0"
      lasting = "300s"
      text    = "Requests are refused because their limits can't be checked: the database is away or slow."
    }
    many_refused = {
      query   = "sum(rate(${local.lb_requests},response_code=\"429\"}[10m])) / sum(rate(${local.lb_requests}}[10m])) > 0.1"
      lasting = "600s"
      text    = "A tenth of the requests is refused with 429: by limits (tandem_limits_refused_total), by Cloud Armor, or by Cloud Run, which has all its instances."
    }
    unpriced = {
      query   = "sum by (model) (increase(tandem_ledger_unpriced_requests_total[1h])) > 0"
      lasting = "600s"
      text    = "A model has no price, so its cost is missing in the ledger. Add it to models.toml; 0 if it is free."
    }
    usage_events_stuck = {
      query   = "max(tandem_usage_events_oldest_seconds) > 600"
      lasting = "600s"
      text    = "Usage events stay in the outbox: the topic is missing, refuses us or the event, or can't be reached. The log says which."
    }
    doorbell_away = {
      query   = "min by (side) (tandem_doorbell_connected) < 1"
      lasting = "600s"
      text    = "Processes have lost the broker. Batches complete by polling, later."
    }
  }

  # By the metrics of Google's services.
  thresholds = merge(
    {
      for name in var.dead_letter_subscriptions : "dead-letters ${name}" => {
        filter  = "resource.type=\"pubsub_subscription\" AND resource.labels.subscription_id=\"${name}\" AND metric.type=\"pubsub.googleapis.com/subscription/num_undelivered_messages\""
        above   = 0
        aligner = "ALIGN_MAX"
        text    = "Messages that nobody could take: gcloud pubsub subscriptions pull ${name} --limit=10"
      }
    },
    {
      for name in var.subscriptions : "backlog ${name}" => {
        filter  = "resource.type=\"pubsub_subscription\" AND resource.labels.subscription_id=\"${name}\" AND metric.type=\"pubsub.googleapis.com/subscription/oldest_unacked_message_age\""
        above   = 600
        aligner = "ALIGN_MAX"
        text    = "The oldest message of ${name} waits for more than ten minutes: whoever listens is away or slow."
      }
    },
    var.database.engine != "cloud-sql" ? {} : {
      "database connections" = {
        filter  = "resource.type=\"cloudsql_database\" AND resource.labels.database_id=\"${var.project_id}:${var.database.instance}\" AND metric.type=\"cloudsql.googleapis.com/database/postgresql/num_backends\""
        above   = floor(var.database.max_connections * 0.85)
        aligner = "ALIGN_MEAN"
        text    = "The database runs out of connections. Fewer instances at most, or a larger database: the budget is checked at plan time."
      }
      "database disk" = {
        filter  = "resource.type=\"cloudsql_database\" AND resource.labels.database_id=\"${var.project_id}:${var.database.instance}\" AND metric.type=\"cloudsql.googleapis.com/database/disk/utilization\""
        above   = 0.85
        aligner = "ALIGN_MEAN"
        text    = "The disk fills faster than it grows."
      }
      "database memory" = {
        filter  = "resource.type=\"cloudsql_database\" AND resource.labels.database_id=\"${var.project_id}:${var.database.instance}\" AND metric.type=\"cloudsql.googleapis.com/database/memory/utilization\""
        above   = 0.95
        aligner = "ALIGN_MEAN"
        text    = "The database is short of memory."
      }
    },
  )
}

resource "google_monitoring_alert_policy" "alarm" {
  for_each = local.alarms

  display_name          = "${var.prefix}: ${replace(each.key, "_", " ")}"
  combiner              = "OR"
  severity              = "WARNING"
  user_labels           = var.labels
  notification_channels = local.channels

  conditions {
    display_name = replace(each.key, "_", " ")
    condition_prometheus_query_language {
      query               = each.value.query
      duration            = each.value.lasting
      evaluation_interval = "60s"
      alert_rule          = each.key
      # A model that nobody has started yet has no metrics: that is no mistake.
      disable_metric_validation = true
    }
  }

  documentation {
    content = each.value.text
  }

  alert_strategy {
    auto_close = "86400s"
  }
}

resource "google_monitoring_alert_policy" "threshold" {
  for_each = local.thresholds

  display_name          = "${var.prefix}: ${each.key}"
  combiner              = "OR"
  severity              = "WARNING"
  user_labels           = var.labels
  notification_channels = local.channels

  conditions {
    display_name = each.key
    condition_threshold {
      filter          = each.value.filter
      comparison      = "COMPARISON_GT"
      threshold_value = each.value.above
      duration        = "300s"
      aggregations {
        alignment_period     = "60s"
        per_series_aligner   = each.value.aligner
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }

  documentation {
    content = each.value.text
  }

  alert_strategy {
    auto_close = "86400s"
  }
}

resource "google_monitoring_alert_policy" "down" {
  display_name          = "${var.prefix}: the API does not answer"
  combiner              = "OR"
  severity              = "CRITICAL"
  user_labels           = var.labels
  notification_channels = local.channels

  conditions {
    display_name = "no answer from most places"
    condition_threshold {
      filter          = "resource.type=\"uptime_url\" AND metric.type=\"monitoring.googleapis.com/uptime_check/check_passed\" AND metric.labels.check_id=\"${google_monitoring_uptime_check_config.api.uptime_check_id}\""
      comparison      = "COMPARISON_GT"
      threshold_value = 1
      duration        = "120s"
      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = "ALIGN_NEXT_OLDER"
        cross_series_reducer = "REDUCE_COUNT_FALSE"
        group_by_fields      = ["resource.label.host"]
      }
    }
  }

  documentation {
    content = "https://${var.domain} does not answer from outside: certificate, address, load balancer or every region."
  }
}
