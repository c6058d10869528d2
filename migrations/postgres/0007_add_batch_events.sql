-- What happened to batches, for whoever is to be told. A row is written in the transaction that made it true.
CREATE TABLE batch_events (
    -- Later ones sort after earlier ones.
    id            TEXT   PRIMARY KEY,
    batch_id      TEXT   NOT NULL REFERENCES batches (id),
    tenant_id     TEXT   NOT NULL REFERENCES tenants (id),
    kind          TEXT   NOT NULL,
    -- Of the lines, for batch.progress; else 0.
    percent       BIGINT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    UNIQUE (batch_id, kind, percent)
);
CREATE INDEX batch_events_by_age ON batch_events (created_at_ms);
