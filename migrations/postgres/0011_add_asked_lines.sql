-- What a shard's worker has told of its calls: lines that a model server was asked and that have no record yet.
ALTER TABLE shards ADD COLUMN asked BYTEA;
-- The lease under which it was told.
ALTER TABLE shards ADD COLUMN asked_epoch BIGINT NOT NULL DEFAULT 0;
-- The lines of a suspect shard that its worker was going to ask, and nothing else of it, and the lease under which that was told.
ALTER TABLE shards ADD COLUMN trial BYTEA;
ALTER TABLE shards ADD COLUMN trial_epoch BIGINT NOT NULL DEFAULT 0;
-- Calls made again because a lease before ended without their records. Until now counted by segment.
ALTER TABLE shards ADD COLUMN redone BIGINT NOT NULL DEFAULT 0;
