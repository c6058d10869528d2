-- Jobs that came as messages: the same message again is the same batch.
CREATE TABLE submissions (
    tenant_id     TEXT   NOT NULL REFERENCES tenants (id),
    -- As its sender named it.
    submission_id TEXT   NOT NULL,
    batch_id      TEXT   NOT NULL UNIQUE REFERENCES batches (id),
    -- SHA-256 of the message: another job of the same name is a mistake.
    digest        BYTEA  NOT NULL,
    -- Where its events go as well.
    reply_to      TEXT,
    created_at_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, submission_id)
);

-- Events that a broker is still to be told.
CREATE TABLE event_outbox (
    event_id      TEXT   PRIMARY KEY REFERENCES batch_events (id),
    -- Nobody else takes it before this time of the database's clock.
    held_until_ms BIGINT NOT NULL DEFAULT 0
);
