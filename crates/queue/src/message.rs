//! A pointer as a message of a broker: JSON of at most [`MAX_BYTES`], the same on every broker.

use domain::{Error, Pointer, Result};

/// A pointer takes about 100 bytes, and 160 with the trace of whoever rang.
pub(crate) const MAX_BYTES: usize = 4_096;
/// The version that this process writes and reads.
const VERSION: u8 = 1;

/// Writes a pointer.
pub(crate) fn write(pointer: &Pointer) -> Result<Vec<u8>> {
    serde_json::to_vec(pointer).map_err(Error::internal)
}

/// Reads a pointer, or says why there is none in it.
pub(crate) fn read(message: &[u8]) -> Result<Pointer, String> {
    if message.len() > MAX_BYTES {
        return Err(format!("{} bytes; a pointer has at most {MAX_BYTES}", message.len()));
    }
    let pointer: Pointer = serde_json::from_slice(message).map_err(|error| format!("no pointer: {error}"))?;
    if pointer.v != VERSION {
        return Err(format!("version {}; version {VERSION} is read here", pointer.v));
    }
    Ok(pointer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::PointerKind;

    #[test]
    fn a_pointer_is_read_as_it_was_written() {
        let mut pointer = Pointer::new(PointerKind::Shard, "shard_1");
        pointer.traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned());

        let message = write(&pointer).unwrap();

        assert!(message.len() < 200, "{}", message.len());
        assert_eq!(read(&message), Ok(pointer));
    }

    #[test]
    fn what_a_newer_process_adds_is_no_hindrance() {
        let read = read(br#"{"v":1,"kind":"finalize","id":"batch_1","pool":"a"}"#);

        assert_eq!(read, Ok(Pointer::new(PointerKind::Finalize, "batch_1")));
    }

    #[test]
    fn what_is_no_pointer_is_refused_with_the_reason() {
        let long = [b' '; MAX_BYTES + 1];
        let unreadable: [(&[u8], &str); 5] = [
            (b"", "no pointer: EOF"),
            (b"\xff\xfe", "no pointer"),
            (br#"{"v":1,"kind":"dance","id":"x"}"#, "unknown variant `dance`"),
            (br#"{"v":2,"kind":"shard","id":"x"}"#, "version 2; version 1 is read here"),
            (&long, "4097 bytes; a pointer has at most 4096"),
        ];
        for (message, reason) in unreadable {
            let error = read(message).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
