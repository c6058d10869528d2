//! The worker against a real database, real files and a model that does as the line says.

mod bench;
mod endings;
mod faults;
mod lines;
mod model;
