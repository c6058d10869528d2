//! What Google's JSON says of an object.

use crate::BlobInfo;
use base64::{Engine, engine::general_purpose::STANDARD};
use domain::{Error, Result};
use serde::Deserialize;

/// The fields that are asked for.
pub(super) const FIELDS: &str = "size,crc32c";

/// An object resource.
#[derive(Debug, Deserialize)]
pub(super) struct Resource {
    size: String,
    crc32c: String,
}

impl Resource {
    /// How long the object is, and its checksum.
    pub(super) fn info(&self) -> Result<BlobInfo> {
        let bytes = self.size.parse().map_err(Error::internal)?;
        Ok(BlobInfo { bytes, crc32c: from_base64(&self.crc32c)? })
    }
}

/// A checksum as Google writes it: big-endian, in Base64.
pub(super) fn to_base64(crc32c: u32) -> String {
    STANDARD.encode(crc32c.to_be_bytes())
}

fn from_base64(text: &str) -> Result<u32> {
    let bytes = STANDARD.decode(text).map_err(Error::internal)?;
    let bytes = bytes.try_into().map_err(|_| Error::internal(format!("{text} is no CRC-32C")))?;
    Ok(u32::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_written_as_google_writes_them() {
        // From Google's documentation of `x-goog-hash`.
        assert_eq!(from_base64("n03x6A==").unwrap(), 0x9f4d_f1e8);
        assert_eq!(to_base64(0x9f4d_f1e8), "n03x6A==");
        assert!(from_base64("n03x").is_err());
    }
}
