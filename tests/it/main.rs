//! Scenarios on real processes.

mod kill;
