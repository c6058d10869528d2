-- Who may do what, how much, and what it cost. Money is whole nano-USD.

ALTER TABLE tenants ADD COLUMN note TEXT NOT NULL DEFAULT '';
-- The keys of a disabled tenant don't work.
ALTER TABLE tenants ADD COLUMN disabled_at_ms INTEGER;

-- Words apart by spaces, as OAuth writes them.
ALTER TABLE keys ADD COLUMN scopes TEXT NOT NULL DEFAULT 'inference files batches usage';
UPDATE keys SET scopes = scopes || ' admin' WHERE admin = 1;
ALTER TABLE keys DROP COLUMN admin;
-- A JSON array of model names; NULL = every model.
ALTER TABLE keys ADD COLUMN models TEXT;
ALTER TABLE keys ADD COLUMN note TEXT NOT NULL DEFAULT '';
-- The beginning of the secret, by which people recognise it.
ALTER TABLE keys ADD COLUMN hint TEXT NOT NULL DEFAULT '';
ALTER TABLE keys ADD COLUMN expires_at_ms INTEGER;
ALTER TABLE keys ADD COLUMN last_used_at_ms INTEGER;
-- After a rotation the secret before it works until then.
ALTER TABLE keys ADD COLUMN old_sha256 BLOB;
ALTER TABLE keys ADD COLUMN old_until_ms INTEGER;
CREATE INDEX keys_by_tenant ON keys (tenant_id, id);

CREATE TABLE limits (
    id            TEXT   NOT NULL PRIMARY KEY,
    tenant_id     TEXT   NOT NULL REFERENCES tenants (id),
    -- tenant, key or principal, and the id of that one.
    subject_kind  TEXT   NOT NULL,
    subject       TEXT   NOT NULL,
    -- '' = all models together.
    model         TEXT   NOT NULL DEFAULT '',
    kind          TEXT   NOT NULL,
    -- Requests, tokens or nano-USD.
    amount        INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    UNIQUE (tenant_id, subject_kind, subject, model, kind)
);

-- What was used of a limit. The slot is the time of the report for limits by the minute, the beginning of the period for
-- budgets, both in milliseconds.
CREATE TABLE limit_uses (
    limit_id TEXT   NOT NULL REFERENCES limits (id) ON DELETE CASCADE,
    slot_ms  INTEGER NOT NULL,
    used     INTEGER NOT NULL,
    -- The part of it that nobody reported: the leases of replicas that died.
    lost     INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (limit_id, slot_ms)
);

-- What a replica may still use without asking. An expired one counts as used.
CREATE TABLE limit_leases (
    limit_id      TEXT   NOT NULL REFERENCES limits (id) ON DELETE CASCADE,
    replica       TEXT   NOT NULL,
    amount        INTEGER NOT NULL,
    -- The replica's last report that was taken in; a report that comes twice counts once.
    seq           INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    PRIMARY KEY (limit_id, replica)
);

-- One row a request, and one a line of a batch. Never text of prompts or answers.
CREATE TABLE usage_records (
    id                 TEXT   NOT NULL PRIMARY KEY,
    at_ms              INTEGER NOT NULL,
    tenant_id          TEXT   NOT NULL,
    key_id             TEXT,
    principal          TEXT,
    batch_id           TEXT,
    request_id         TEXT   NOT NULL,
    trace_id           TEXT,
    class              TEXT   NOT NULL,
    dialect            TEXT   NOT NULL,
    model              TEXT   NOT NULL,
    deployment         TEXT,
    status             INTEGER NOT NULL,
    -- complete, cancelled (the caller left), broken (cut in the middle) or failed.
    outcome            TEXT   NOT NULL,
    input_tokens       INTEGER NOT NULL,
    output_tokens      INTEGER NOT NULL,
    cached_tokens      INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    reasoning_tokens   INTEGER NOT NULL,
    is_estimated       INTEGER NOT NULL,
    is_cached          INTEGER NOT NULL,
    -- NULL: the price is not known.
    cost_nanos         INTEGER,
    latency_ms         INTEGER NOT NULL,
    ttft_ms            INTEGER
);
CREATE INDEX usage_by_tenant ON usage_records (tenant_id, at_ms);
CREATE INDEX usage_by_age ON usage_records (at_ms);

-- Usage records that are still to be published.
CREATE TABLE usage_outbox (
    usage_id   TEXT   NOT NULL PRIMARY KEY REFERENCES usage_records (id) ON DELETE CASCADE,
    held_until_ms INTEGER NOT NULL DEFAULT 0
);

-- Who changed what. Never a secret.
CREATE TABLE audit_records (
    id          TEXT   NOT NULL PRIMARY KEY,
    at_ms       INTEGER NOT NULL,
    -- A key's id, a principal, or `cli`.
    actor       TEXT   NOT NULL,
    request_id  TEXT,
    action      TEXT   NOT NULL,
    target      TEXT   NOT NULL,
    tenant_id   TEXT,
    before_json TEXT,
    after_json  TEXT
);
CREATE INDEX audit_by_target ON audit_records (target, id);

-- The outcomes of requests that came with an Idempotency-Key.
CREATE TABLE idempotency_records (
    tenant_id      TEXT   NOT NULL,
    -- SHA-256 of the caller's key, in hex: its text is nobody's business.
    key_sha256     TEXT   NOT NULL,
    -- SHA-256 of method, path and body.
    request_sha256 TEXT   NOT NULL,
    -- running or done.
    state          TEXT   NOT NULL,
    owner          TEXT   NOT NULL,
    lease_until_ms INTEGER NOT NULL,
    status         INTEGER,
    headers_json   TEXT,
    body           BLOB,
    created_at_ms  INTEGER NOT NULL,
    expires_at_ms  INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, key_sha256)
);
CREATE INDEX idempotency_by_age ON idempotency_records (expires_at_ms);
