-- What a user sees of a batch beside its two files: records by line, checksums, cost by model, and where it came from.
ALTER TABLE segments ADD COLUMN ok_crc32c BIGINT;
ALTER TABLE segments ADD COLUMN err_crc32c BIGINT;
ALTER TABLE segments ADD COLUMN redone BIGINT NOT NULL DEFAULT 0;
-- Leases that ended without a word from their worker; unlike crash_count it never starts anew.
ALTER TABLE shards ADD COLUMN crashes BIGINT NOT NULL DEFAULT 0;
ALTER TABLE files ADD COLUMN crc32c BIGINT;
-- The batch whose lines are asked again.
ALTER TABLE batches ADD COLUMN redrive_of TEXT;
-- Whether identical deterministic lines of a shard are asked once.
ALTER TABLE batches ADD COLUMN dedup BIGINT NOT NULL DEFAULT 0;
ALTER TABLE batches ADD COLUMN deduplicated BIGINT NOT NULL DEFAULT 0;

-- A run of input lines of an ended batch, and where in its files their records are.
CREATE TABLE batch_parts (
    batch_id      TEXT   NOT NULL REFERENCES batches (id),
    -- Counted from 0 over the lines of the input's index.
    first_line    BIGINT NOT NULL,
    line_count    BIGINT NOT NULL,
    -- One bit a line: its record is in the output file, else in the error file.
    answered      BYTEA  NOT NULL,
    output_start  BIGINT NOT NULL,
    output_bytes  BIGINT NOT NULL,
    output_crc32c BIGINT NOT NULL,
    error_start   BIGINT NOT NULL,
    error_bytes   BIGINT NOT NULL,
    error_crc32c  BIGINT NOT NULL,
    PRIMARY KEY (batch_id, first_line)
);

-- What the lines of a batch used, by the model that answered.
CREATE TABLE batch_models (
    batch_id         TEXT   NOT NULL REFERENCES batches (id),
    model            TEXT   NOT NULL,
    requests         BIGINT NOT NULL,
    input_tokens     BIGINT NOT NULL,
    output_tokens    BIGINT NOT NULL,
    cached_tokens    BIGINT NOT NULL,
    reasoning_tokens BIGINT NOT NULL,
    -- Nano-USD of the requests with a known price.
    cost_nanos       BIGINT NOT NULL,
    unpriced         BIGINT NOT NULL,
    PRIMARY KEY (batch_id, model)
);
