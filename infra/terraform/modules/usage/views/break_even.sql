-- What a day of a deployment of ours cost, what the same tokens would have cost at a provider, and how many requests like these make
-- both equal.
WITH self_hosted AS (
  SELECT * FROM UNNEST([
    ${self_hosted}
  ])
),
used AS (
  SELECT
    DATE(occurred_at) AS day,
    deployment,
    COUNT(*) AS requests,
    SUM(input_tokens) AS input_tokens,
    SUM(output_tokens) AS output_tokens
  FROM `${dataset}.events_once`
  WHERE outcome != 'failed'
  GROUP BY day, deployment
),
compared AS (
  SELECT
    used.day,
    used.deployment,
    self_hosted.managed_model,
    used.requests,
    used.input_tokens,
    used.output_tokens,
    self_hosted.usd_per_month / 30.4 AS self_hosted_usd,
    (used.input_tokens * self_hosted.managed_input_usd_per_million
      + used.output_tokens * self_hosted.managed_output_usd_per_million) / 1000000 AS managed_usd
  FROM used
  JOIN self_hosted USING (deployment)
)
SELECT
  *,
  SAFE_DIVIDE(self_hosted_usd, SAFE_DIVIDE(managed_usd, requests)) AS break_even_requests_per_day,
  managed_usd >= self_hosted_usd AS pays_off
FROM compared
