//! `limit` and `order`, judged with the bounds of each list. `after` is for the store to judge.

use domain::{Error, Result};

/// Reads `limit`; the bounds are inclusive.
pub(crate) fn limit(given: Option<&str>, default: i64, max: i64) -> Result<i64> {
    let Some(given) = given else { return Ok(default) };
    given.parse().ok().filter(|limit| (1..=max).contains(limit)).ok_or_else(|| {
        Error::invalid(format!("Invalid `limit`: '{given}'. It must be a whole number from 1 to {max}."))
            .with_param("limit")
    })
}

/// Reads `order`: whether newest come first.
pub(crate) fn is_descending(given: Option<&str>) -> Result<bool> {
    match given {
        None | Some("desc") => Ok(true),
        Some("asc") => Ok(false),
        Some(other) => {
            Err(Error::invalid(format!("Invalid `order`: '{other}'. It must be `asc` or `desc`.")).with_param("order"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_inclusive() {
        assert_eq!(limit(None, 20, 100).unwrap(), 20);
        assert_eq!(limit(Some("1"), 20, 100).unwrap(), 1);
        assert_eq!(limit(Some("100"), 20, 100).unwrap(), 100);
        for bad in ["0", "101", "-1", "1.5", "", "ten", "99999999999999999999"] {
            assert_eq!(limit(Some(bad), 20, 100).unwrap_err().param(), Some("limit"), "{bad}");
        }
    }

    #[test]
    fn order_is_newest_first_unless_asked() {
        assert!(is_descending(None).unwrap());
        assert!(!is_descending(Some("asc")).unwrap());
        assert!(is_descending(Some("DESC")).is_err());
    }
}
