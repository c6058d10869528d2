//! The conformance suite: every scenario runs, with the same assertions, on SQLite and on PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should stop at once")]

mod admin;
mod admission;
mod backlog;
mod batch_events;
mod batches;
mod blobs;
mod controls;
mod database;
mod dispatch;
mod idempotency;
mod ingest;
mod join;
mod leases;
mod ledger;
mod limits;
mod segments;
mod submissions;
mod sweep;
mod tenancy;
mod uploads;
mod webhooks;
