//! What people may call things, and note of them.

/// The longest name of anything, in characters.
pub const MAX_NAME_CHARS: usize = 256;
/// The longest note, in characters.
pub const MAX_NOTE_CHARS: usize = 4_096;

/// Whether a text will do for a name: something to read on one line.
///
/// # Errors
/// What is wrong with it, to be said of the parameter.
pub fn judge_name(text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err("must not be empty".to_owned());
    }
    if text.contains('\n') {
        return Err("has more than one line".to_owned());
    }
    judge(text, MAX_NAME_CHARS)
}

/// Whether a text will do for a note: it may be empty, and have lines.
///
/// # Errors
/// What is wrong with it, to be said of the parameter.
pub fn judge_note(text: &str) -> Result<(), String> {
    judge(text, MAX_NOTE_CHARS)
}

fn judge(text: &str, most: usize) -> Result<(), String> {
    if text.chars().count() > most {
        return Err(format!("is longer than {most} characters"));
    }
    if text.chars().any(|c| c.is_control() && c != '\n') {
        return Err("has control characters in it".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_stand_on_one_line() {
        assert!(judge_name(&"é".repeat(MAX_NAME_CHARS)).is_ok());
        for bad in ["", "  ", "a\nb", "a\0b", "a\u{1b}[31m", &"é".repeat(MAX_NAME_CHARS + 1)] {
            assert!(judge_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn notes_may_have_lines() {
        assert!(judge_note("").is_ok() && judge_note("two\nlines").is_ok());
        assert!(judge_note("a\0b").is_err() && judge_note(&"a".repeat(MAX_NOTE_CHARS + 1)).is_err());
    }
}
