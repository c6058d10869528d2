//! What an upload is. Its body is too large to be held and its boundary is another each time, so what counts is what the form
//! says, part by part, hashed as it is read.

use super::said::hex;
use sha2::{Digest, Sha256};
use std::sync::{Arc, OnceLock};

/// How an upload with a key is received; travels with the request.
#[derive(Debug, Clone)]
pub(crate) struct Upload {
    pub(crate) uploaded: Uploaded,
    /// Whether a file is made. If not, the form is only read to see what it is.
    pub(crate) is_kept: bool,
}

/// What was uploaded, once that is known.
#[derive(Debug, Clone, Default)]
pub(crate) struct Uploaded(Arc<OnceLock<String>>);

impl Uploaded {
    /// Takes note of a form that was read to its end.
    pub(crate) fn set(&self, form: Sha256) {
        // A form is read once.
        self.0.get_or_init(|| hex(&form.finalize()));
    }

    pub(super) fn get(&self) -> Option<String> {
        self.0.get().cloned()
    }
}
