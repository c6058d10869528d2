-- An event that came twice is the same in both: any of them will do. occurred_at is in the key, so that a filter on it reads less.
SELECT *
FROM `${dataset}.events`
WHERE occurred_at >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL ${days} DAY)
QUALIFY ROW_NUMBER() OVER (PARTITION BY event_id, occurred_at ORDER BY request_id) = 1
