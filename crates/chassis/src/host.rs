//! What a process asks of the machine it runs on.

use nix::sys::{
    prctl,
    resource::{Resource, getrlimit, setrlimit},
};

/// Prepares the process to hold tens of thousands of connections: each needs a descriptor, and most of its memory is never
/// touched. A machine that refuses serves fewer, and is told of.
pub(crate) fn prepare() {
    if let Err(error) = raise_descriptors() {
        tracing::warn!(%error, "the limit of open files can't be raised");
    }
    if let Err(error) = keep_pages_small() {
        tracing::warn!(%error, "huge pages can't be switched off: idle connections take more memory");
    }
}

/// Up to what the system allows: the usual soft limit of 1,024 is one for programs that call `select`.
fn raise_descriptors() -> nix::Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)
}

/// A huge page is resident as a whole, also where nobody has written: idle streams would take twice the memory. Measured,
/// requests are not slower without.
#[cfg(target_os = "linux")]
fn keep_pages_small() -> nix::Result<()> {
    prctl::set_thp_disable(true)
}

#[cfg(not(target_os = "linux"))]
fn keep_pages_small() -> nix::Result<()> {
    Ok(())
}
