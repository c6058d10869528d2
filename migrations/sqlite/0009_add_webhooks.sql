-- Whom tenants want to be told of events.
CREATE TABLE webhook_endpoints (
    -- Later ones sort after earlier ones.
    id                  TEXT    PRIMARY KEY,
    tenant_id           TEXT    NOT NULL REFERENCES tenants (id),
    url                 TEXT    NOT NULL,
    description         TEXT    NOT NULL,
    -- A JSON array of kinds.
    events              TEXT    NOT NULL,
    is_enabled          INTEGER NOT NULL,
    -- Why it was disabled, unless its owner did that.
    disabled_reason     TEXT,
    -- Since when nothing arrived; null after the last success.
    failing_since_ms    INTEGER,
    -- Sealed, where the platform has a key for that.
    secret              TEXT    NOT NULL,
    -- Signs along until its time.
    old_secret          TEXT,
    old_secret_until_ms INTEGER,
    created_at_ms       INTEGER NOT NULL
);
CREATE INDEX webhook_endpoints_by_tenant ON webhook_endpoints (tenant_id, id);

-- What is to be sent, and was. Written in the transaction of the event.
CREATE TABLE webhook_deliveries (
    -- Later ones sort after earlier ones.
    id            TEXT   PRIMARY KEY,
    webhook_id    TEXT   NOT NULL REFERENCES webhook_endpoints (id) ON DELETE CASCADE,
    event_id      TEXT   NOT NULL,
    kind          TEXT   NOT NULL,
    -- The bytes that are sent, the same with each attempt.
    payload       TEXT   NOT NULL,
    -- The delivery that this one repeats at its owner's wish.
    replay_of     TEXT,
    status        TEXT   NOT NULL,
    attempts      INTEGER NOT NULL DEFAULT 0,
    created_at_ms INTEGER NOT NULL,
    -- When the next attempt is due.
    next_at_ms    INTEGER NOT NULL,
    -- Until then whoever claimed it has it alone.
    held_until_ms INTEGER NOT NULL DEFAULT 0,
    -- Counts the claims: fences off who was too slow.
    epoch         INTEGER NOT NULL DEFAULT 0,
    ended_at_ms   INTEGER
);
CREATE INDEX webhook_deliveries_of_endpoint ON webhook_deliveries (webhook_id, id);
CREATE INDEX webhook_deliveries_pending ON webhook_deliveries (webhook_id, next_at_ms) WHERE status = 'pending';
CREATE INDEX webhook_deliveries_by_age ON webhook_deliveries (created_at_ms);

-- How each attempt went.
CREATE TABLE webhook_attempts (
    -- Later ones sort after earlier ones.
    id          TEXT   PRIMARY KEY,
    delivery_id TEXT   NOT NULL REFERENCES webhook_deliveries (id) ON DELETE CASCADE,
    -- When its outcome was recorded.
    at_ms       INTEGER NOT NULL,
    took_ms     INTEGER NOT NULL,
    outcome     TEXT   NOT NULL,
    http_status INTEGER,
    -- The beginning of the answer, or why there was none.
    detail      TEXT   NOT NULL
);
CREATE INDEX webhook_attempts_of_delivery ON webhook_attempts (delivery_id, id);
