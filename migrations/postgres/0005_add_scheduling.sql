-- Whose lines run next, when and how many. Tokens are estimates, made when an input is uploaded.

-- The tenant's part of the workers, relative to the others'.
ALTER TABLE tenants ADD COLUMN batch_weight BIGINT NOT NULL DEFAULT 100;
-- Shards at work at once; NULL = as the workers are set.
ALTER TABLE tenants ADD COLUMN batch_shards BIGINT;

-- 0 urgent, 1 standard, 2 idle: less goes first.
ALTER TABLE batches ADD COLUMN priority BIGINT NOT NULL DEFAULT 1;
ALTER TABLE batches ADD COLUMN not_before_ms BIGINT;
-- A part of each day of UTC, in minutes after midnight; it may reach over midnight.
ALTER TABLE batches ADD COLUMN daily_start_min BIGINT;
ALTER TABLE batches ADD COLUMN daily_end_min BIGINT;
-- Lines in flight at once.
ALTER TABLE batches ADD COLUMN max_concurrency BIGINT;
ALTER TABLE batches ADD COLUMN paused_at_ms BIGINT;
-- Of all lines, and of those with a record.
ALTER TABLE batches ADD COLUMN tokens BIGINT NOT NULL DEFAULT 0;
ALTER TABLE batches ADD COLUMN tokens_done BIGINT NOT NULL DEFAULT 0;
CREATE INDEX batches_in_order ON batches (tenant_id, priority, expires_at_ms, id)
    WHERE status = 'in_progress' AND paused_at_ms IS NULL;

CREATE INDEX batches_enqueued ON batches (tenant_id) WHERE status IN ('validating', 'in_progress');

ALTER TABLE shards ADD COLUMN tokens BIGINT NOT NULL DEFAULT 0;
CREATE INDEX shards_in_order ON shards (batch_id, ordinal) WHERE status = 'runnable';

ALTER TABLE segments ADD COLUMN tokens BIGINT NOT NULL DEFAULT 0;
CREATE INDEX segments_by_age ON segments (created_at_ms);

-- The tokens of a batch by model.
CREATE TABLE batch_tokens (
    batch_id TEXT   NOT NULL REFERENCES batches (id),
    model    TEXT   NOT NULL,
    tokens   BIGINT NOT NULL,
    PRIMARY KEY (batch_id, model)
);

-- When the last shard of each tenant finished, on the clock of shares: tokens over weight.
CREATE TABLE shares (
    tenant_id TEXT   NOT NULL PRIMARY KEY REFERENCES tenants (id) ON DELETE CASCADE,
    finish    BIGINT NOT NULL
);

-- When the newest shard started on it. One row, which whoever chooses the next shard holds.
CREATE TABLE share_clock (
    id    BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    start BIGINT NOT NULL
);
INSERT INTO share_clock (id, start) VALUES (1, 0);
