//! What files may be called, and how large they may be, wherever they come from.

use domain::{Error, Kind, Result};

const FILENAME_CHARS: usize = 255;

/// Refuses a name that its purpose does not allow.
///
/// # Errors
/// InvalidRequest, about `param`.
pub fn judge_name(purpose: &str, filename: &str, param: &str) -> Result<()> {
    if purpose != "batch" || is_jsonl(filename) {
        return Ok(());
    }
    Err(Error::invalid("Invalid file format for Batch API. Must be .jsonl").with_param(param))
}

/// Refuses a file of more bytes than `limit`.
///
/// # Errors
/// TooLarge, about `param`.
pub fn judge_size(limit: u64, bytes: u64, param: &str) -> Result<()> {
    if bytes <= limit {
        return Ok(());
    }
    Err(Error::new(Kind::TooLarge, format!("The file is larger than the {limit} bytes allowed.")).with_param(param))
}

/// Whether the name is that of JSON Lines.
#[must_use]
pub fn is_jsonl(filename: &str) -> bool {
    filename.get(filename.len().saturating_sub(6)..).is_some_and(|end| end.eq_ignore_ascii_case(".jsonl"))
}

/// The last part of whatever path was sent, without control characters and of bounded length.
#[must_use]
pub fn to_filename(given: &str) -> String {
    let name = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let name: Vec<char> = name.chars().filter(|c| !c.is_control()).collect();
    // The end stays: it has the extension.
    let kept: String = name[name.len().saturating_sub(FILENAME_CHARS)..].iter().collect();
    if kept.is_empty() { "file".to_owned() } else { kept }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_cut_to_its_last_part() {
        for (given, kept) in
            [("a.jsonl", "a.jsonl"), ("/etc/a", "a"), ("C:\\x\\b.txt", "b.txt"), ("", "file"), ("a\0b", "ab")]
        {
            assert_eq!(to_filename(given), kept, "{given:?}");
        }
    }

    #[test]
    fn a_long_name_keeps_its_extension() {
        let name = to_filename(&format!("{}.jsonl", "é".repeat(400)));

        assert_eq!(name.chars().count(), FILENAME_CHARS);
        assert!(is_jsonl(&name));
    }

    #[test]
    fn only_the_extension_makes_it_json_lines() {
        for (name, is) in
            [("a.jsonl", true), ("A.JSONL", true), ("a.json", false), ("jsonl", false), ("é", false), ("", false)]
        {
            assert_eq!(is_jsonl(name), is, "{name}");
        }
    }
}
