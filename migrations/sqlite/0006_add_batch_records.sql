-- What a user sees of a batch beside its two files: records by line, checksums, cost by model, and where it came from.
ALTER TABLE segments ADD COLUMN ok_crc32c INTEGER;
ALTER TABLE segments ADD COLUMN err_crc32c INTEGER;
ALTER TABLE segments ADD COLUMN redone INTEGER NOT NULL DEFAULT 0;
-- Leases that ended without a word from their worker; unlike crash_count it never starts anew.
ALTER TABLE shards ADD COLUMN crashes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE files ADD COLUMN crc32c INTEGER;
-- The batch whose lines are asked again.
ALTER TABLE batches ADD COLUMN redrive_of TEXT;
-- Whether identical deterministic lines of a shard are asked once.
ALTER TABLE batches ADD COLUMN dedup INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batches ADD COLUMN deduplicated INTEGER NOT NULL DEFAULT 0;

-- A run of input lines of an ended batch, and where in its files their records are.
CREATE TABLE batch_parts (
    batch_id      TEXT   NOT NULL REFERENCES batches (id),
    -- Counted from 0 over the lines of the input's index.
    first_line    INTEGER NOT NULL,
    line_count    INTEGER NOT NULL,
    -- One bit a line: its record is in the output file, else in the error file.
    answered      BLOB   NOT NULL,
    output_start  INTEGER NOT NULL,
    output_bytes  INTEGER NOT NULL,
    output_crc32c INTEGER NOT NULL,
    error_start   INTEGER NOT NULL,
    error_bytes   INTEGER NOT NULL,
    error_crc32c  INTEGER NOT NULL,
    PRIMARY KEY (batch_id, first_line)
);

-- What the lines of a batch used, by the model that answered.
CREATE TABLE batch_models (
    batch_id         TEXT   NOT NULL REFERENCES batches (id),
    model            TEXT   NOT NULL,
    requests         INTEGER NOT NULL,
    input_tokens     INTEGER NOT NULL,
    output_tokens    INTEGER NOT NULL,
    cached_tokens    INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    -- Nano-USD of the requests with a known price.
    cost_nanos       INTEGER NOT NULL,
    unpriced         INTEGER NOT NULL,
    PRIMARY KEY (batch_id, model)
);
