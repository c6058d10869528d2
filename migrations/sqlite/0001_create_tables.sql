-- Times are milliseconds of this database's clock. Flags are 0 or 1. Ids are text.

CREATE TABLE tenants (
    id            TEXT   NOT NULL PRIMARY KEY,
    name          TEXT   NOT NULL UNIQUE,
    created_at_ms BIGINT NOT NULL
);

CREATE TABLE keys (
    id            TEXT   NOT NULL PRIMARY KEY,
    tenant_id     TEXT   NOT NULL REFERENCES tenants (id),
    name          TEXT   NOT NULL,
    admin         BIGINT NOT NULL,
    secret_sha256 BLOB   NOT NULL UNIQUE,
    created_at_ms BIGINT NOT NULL,
    revoked_at_ms BIGINT
);

CREATE TABLE files (
    id            TEXT   NOT NULL PRIMARY KEY,
    tenant_id     TEXT   NOT NULL REFERENCES tenants (id),
    purpose       TEXT   NOT NULL,
    filename      TEXT   NOT NULL,
    bytes         BIGINT NOT NULL,
    blob          TEXT   NOT NULL,
    index_json    TEXT,
    created_at_ms BIGINT NOT NULL,
    expires_at_ms BIGINT,
    deleted_at_ms BIGINT,
    purged_at_ms  BIGINT
);

CREATE INDEX files_by_age ON files (tenant_id, created_at_ms, id);
CREATE INDEX files_unpurged ON files (deleted_at_ms) WHERE deleted_at_ms IS NOT NULL AND purged_at_ms IS NULL;
CREATE INDEX files_expiring ON files (expires_at_ms) WHERE expires_at_ms IS NOT NULL AND purged_at_ms IS NULL;

CREATE TABLE batches (
    id                  TEXT   NOT NULL PRIMARY KEY,
    tenant_id           TEXT   NOT NULL REFERENCES tenants (id),
    endpoint            TEXT   NOT NULL,
    input_file_id       TEXT   NOT NULL,
    window_secs         BIGINT NOT NULL,
    metadata            TEXT,
    output_expires_secs BIGINT,
    status              TEXT   NOT NULL,
    model               TEXT,
    errors_json         TEXT,
    output_file_id      TEXT,
    error_file_id       TEXT,
    total_lines         BIGINT NOT NULL DEFAULT 0,
    planned_lines       BIGINT NOT NULL DEFAULT 0,
    lines_completed     BIGINT NOT NULL DEFAULT 0,
    lines_failed        BIGINT NOT NULL DEFAULT 0,
    lines_expired       BIGINT NOT NULL DEFAULT 0,
    lines_cancelled     BIGINT NOT NULL DEFAULT 0,
    input_tokens        BIGINT NOT NULL DEFAULT 0,
    output_tokens       BIGINT NOT NULL DEFAULT 0,
    cached_tokens       BIGINT NOT NULL DEFAULT 0,
    reasoning_tokens    BIGINT NOT NULL DEFAULT 0,
    redone_requests     BIGINT NOT NULL DEFAULT 0,
    owner               TEXT,
    epoch               BIGINT NOT NULL DEFAULT 0,
    lease_until_ms      BIGINT NOT NULL DEFAULT 0,
    rung_at_ms          BIGINT NOT NULL DEFAULT 0,
    created_at_ms       BIGINT NOT NULL,
    expires_at_ms       BIGINT NOT NULL,
    in_progress_at_ms   BIGINT,
    finalizing_at_ms    BIGINT,
    completed_at_ms     BIGINT,
    failed_at_ms        BIGINT,
    expired_at_ms       BIGINT,
    cancelling_at_ms    BIGINT,
    cancelled_at_ms     BIGINT
);

CREATE INDEX batches_by_age ON batches (tenant_id, created_at_ms, id);
CREATE INDEX batches_by_input ON batches (input_file_id);
CREATE INDEX batches_alive ON batches (status)
    WHERE status IN ('validating', 'in_progress', 'finalizing', 'cancelling');

CREATE TABLE shards (
    id             TEXT   NOT NULL PRIMARY KEY,
    batch_id       TEXT   NOT NULL REFERENCES batches (id),
    ordinal        BIGINT NOT NULL,
    first_line     BIGINT NOT NULL,
    line_count     BIGINT NOT NULL,
    byte_start     BIGINT NOT NULL,
    byte_end       BIGINT NOT NULL,
    status         TEXT   NOT NULL,
    done           BLOB   NOT NULL,
    owner          TEXT,
    epoch          BIGINT NOT NULL DEFAULT 0,
    lease_until_ms BIGINT NOT NULL DEFAULT 0,
    rung_at_ms     BIGINT NOT NULL DEFAULT 0,
    crash_count    BIGINT NOT NULL DEFAULT 0,
    UNIQUE (batch_id, ordinal)
);

CREATE INDEX shards_undone ON shards (batch_id, status) WHERE status <> 'done';
CREATE INDEX shards_leased ON shards (lease_until_ms) WHERE status = 'leased';
CREATE INDEX shards_runnable ON shards (rung_at_ms) WHERE status = 'runnable';

CREATE TABLE segments (
    shard_id         TEXT   NOT NULL REFERENCES shards (id),
    epoch            BIGINT NOT NULL,
    seq              BIGINT NOT NULL,
    batch_id         TEXT   NOT NULL,
    ordinal          BIGINT NOT NULL,
    ok_blob          TEXT,
    err_blob         TEXT,
    done             BLOB   NOT NULL,
    lines_completed  BIGINT NOT NULL,
    lines_failed     BIGINT NOT NULL,
    lines_expired    BIGINT NOT NULL,
    lines_cancelled  BIGINT NOT NULL,
    input_tokens     BIGINT NOT NULL,
    output_tokens    BIGINT NOT NULL,
    cached_tokens    BIGINT NOT NULL,
    reasoning_tokens BIGINT NOT NULL,
    created_at_ms    BIGINT NOT NULL,
    PRIMARY KEY (shard_id, epoch, seq)
);

CREATE INDEX segments_in_order ON segments (batch_id, ordinal, epoch, seq);

CREATE TABLE bells (
    id            INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    kind          TEXT   NOT NULL,
    ref_id        TEXT   NOT NULL,
    pointer       TEXT   NOT NULL,
    held_until_ms BIGINT NOT NULL
);

CREATE INDEX bells_by_pointer ON bells (ref_id, kind);
