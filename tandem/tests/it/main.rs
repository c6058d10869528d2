//! The command line, as an operator types it.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod keys;
