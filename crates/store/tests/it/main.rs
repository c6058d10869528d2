//! The conformance suite: every scenario runs, with the same assertions, on SQLite and on PostgreSQL.

mod batches;
mod blobs;
mod database;
mod ingest;
mod leases;
mod segments;
mod sweep;
mod tenancy;
