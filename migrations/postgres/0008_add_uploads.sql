-- The records of a finished shard in the order of its input: what the files of its batch are put together from, where
-- storage can put blobs together.
CREATE TABLE compactions (
    shard_id      TEXT   NOT NULL PRIMARY KEY REFERENCES shards (id),
    batch_id      TEXT   NOT NULL,
    line_count    BIGINT NOT NULL,
    -- One bit a line: its record is in the output, else in the errors.
    answered      BYTEA  NOT NULL,
    output_blob   TEXT,
    output_bytes  BIGINT NOT NULL,
    output_crc32c BIGINT NOT NULL,
    error_blob    TEXT,
    error_bytes   BIGINT NOT NULL,
    error_crc32c  BIGINT NOT NULL
);
CREATE INDEX compactions_by_batch ON compactions (batch_id);

-- Files that come in parts.
CREATE TABLE uploads (
    id             TEXT   NOT NULL PRIMARY KEY,
    tenant_id      TEXT   NOT NULL REFERENCES tenants (id),
    -- What the parts have to add up to.
    bytes          BIGINT NOT NULL,
    filename       TEXT   NOT NULL,
    purpose        TEXT   NOT NULL,
    mime_type      TEXT   NOT NULL,
    -- Of the file that it becomes; none = for ever.
    file_ttl_secs  BIGINT,
    status         TEXT   NOT NULL,
    created_at_ms  BIGINT NOT NULL,
    expires_at_ms  BIGINT NOT NULL,
    -- Who completes it, for how long without a word, and with which parts.
    owner          TEXT,
    lease_until_ms BIGINT NOT NULL DEFAULT 0,
    request_sha256 TEXT,
    file_id        TEXT,
    ended_at_ms    BIGINT,
    cleared_at_ms  BIGINT
);
CREATE INDEX uploads_pending ON uploads (tenant_id) WHERE status = 'pending';
CREATE INDEX uploads_uncleared ON uploads (expires_at_ms) WHERE cleared_at_ms IS NULL;

CREATE TABLE upload_parts (
    id            TEXT   NOT NULL PRIMARY KEY,
    upload_id     TEXT   NOT NULL REFERENCES uploads (id),
    bytes         BIGINT NOT NULL,
    crc32c        BIGINT NOT NULL,
    -- What was found in its lines, for batch inputs.
    lines_json    TEXT,
    created_at_ms BIGINT NOT NULL
);
CREATE INDEX upload_parts_by_upload ON upload_parts (upload_id);
