-- When the working blobs of an ended batch were removed.
ALTER TABLE batches ADD COLUMN cleared_at_ms BIGINT;
CREATE INDEX batches_to_clear ON batches (status)
    WHERE cleared_at_ms IS NULL AND status IN ('completed', 'failed', 'expired', 'cancelled');
