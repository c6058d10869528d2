-- An absent cost is a price that is not known, which is not the same as nothing: unpriced_requests belongs beside every sum.
SELECT
  DATE(occurred_at) AS day,
  tenant_id,
  model,
  deployment,
  class,
  COUNT(*) AS requests,
  SUM(input_tokens) AS input_tokens,
  SUM(cached_tokens) AS cached_tokens,
  SUM(output_tokens) AS output_tokens,
  SUM(cost_usd) AS cost_usd,
  COUNTIF(cost_usd IS NULL AND outcome != 'failed') AS unpriced_requests
FROM `${dataset}.events_once`
GROUP BY day, tenant_id, model, deployment, class
