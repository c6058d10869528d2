SELECT
  DATE(occurred_at) AS day,
  model,
  deployment,
  class,
  COUNT(*) AS requests,
  COUNTIF(outcome = 'complete') AS complete,
  COUNTIF(outcome = 'cancelled') AS cancelled,
  COUNTIF(outcome = 'broken') AS broken,
  COUNTIF(status >= 500) AS server_errors,
  COUNTIF(status = 429) AS refused_by_limits,
  APPROX_QUANTILES(ttft_ms, 100)[OFFSET(50)] AS ttft_ms_p50,
  APPROX_QUANTILES(ttft_ms, 100)[OFFSET(95)] AS ttft_ms_p95,
  APPROX_QUANTILES(latency_ms, 100)[OFFSET(95)] AS latency_ms_p95
FROM `${dataset}.events_once`
GROUP BY day, model, deployment, class
