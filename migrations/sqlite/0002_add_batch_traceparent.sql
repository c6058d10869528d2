-- The trace of the request that made a batch: the model calls of its lines belong to it.
ALTER TABLE batches ADD COLUMN traceparent TEXT;
