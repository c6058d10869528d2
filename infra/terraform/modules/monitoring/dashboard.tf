# One dashboard: what callers see, what models do, what batches do, what it leans on.

locals {
  charts = [
    { title = "Requests a second, by response", query = "sum by (response_code_class) (rate(${local.lb_requests}}[5m]))" },
    { title = "First token, 95th percentile (s)", query = "histogram_quantile(0.95, sum by (le, gen_ai_request_model) (rate(gen_ai_client_operation_time_to_first_chunk_seconds_bucket[5m])))" },
    { title = "Our own share of it, 99th percentile (s)", query = "histogram_quantile(0.99, sum by (le) (rate(tandem_overhead_seconds_bucket[5m])))" },
    { title = "Calls of models, by outcome", query = "sum by (outcome) (rate(tandem_attempts_total[5m]))" },
    { title = "Endpoints, by breaker", query = "sum by (tandem_deployment, breaker) (tandem_endpoints)" },
    { title = "Refused by limits", query = "sum by (kind) (rate(tandem_limits_refused_total[5m]))" },
    { title = "Cost, US dollars an hour", query = "sum by (gen_ai_request_model) (rate(gen_ai_client_cost_USD_total[1h])) * 3600" },
    { title = "Requests that run in models", query = "sum by (model_name) ({\"__name__\"=\"vllm:num_requests_running\"})" },
    { title = "Requests that wait in models", query = "sum by (model_name) ({\"__name__\"=\"vllm:num_requests_waiting\"})" },
    { title = "KV cache", query = "max by (model_name) ({\"__name__\"=\"vllm:kv_cache_usage_perc\"})" },
    { title = "Batch beside people: in flight and room", query = "sum by (tandem_deployment) (tandem_batch_in_flight) or sum by (tandem_deployment) (tandem_batch_room)" },
    { title = "Batch work that waits (tokens)", query = "max(tandem_batch_runnable_work_tokens)" },
    { title = "Oldest batch (s)", query = "max(tandem_batch_oldest_seconds)" },
    { title = "Usage events in the outbox", query = "max(tandem_usage_events_waiting)" },
    { title = "Database connections", query = "sum(cloudsql_googleapis_com:database_postgresql_num_backends{monitored_resource=\"cloudsql_database\",database_id=\"${var.project_id}:${var.database.instance}\"})" },
    { title = "Instances on Cloud Run", query = "sum by (service_name) (run_googleapis_com:container_instance_count{monitored_resource=\"cloud_run_revision\"})" },
  ]
}

resource "google_monitoring_dashboard" "main" {
  dashboard_json = jsonencode({
    displayName = "Tandem ${var.prefix}"
    mosaicLayout = {
      columns = 48
      tiles = [
        for place, chart in local.charts : {
          xPos   = (place % 3) * 16
          yPos   = floor(place / 3) * 12
          width  = 16
          height = 12
          widget = {
            title = chart.title
            xyChart = {
              dataSets = [{
                plotType        = "LINE"
                targetAxis      = "Y1"
                timeSeriesQuery = { prometheusQuery = chart.query }
              }]
            }
          }
        }
      ]
    }
  })
}
