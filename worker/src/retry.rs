//! What a failed call means for its line: an error of the line itself, an accident to try again, or a model that takes no
//! work now. Faults of the platform inside the window never fail a line.

use domain::{Error, Kind};
use orchestrator::{CREDENTIALS_REFUSED, NO_SPARE_CAPACITY, YIELDED};
use std::time::Duration;
use wire::error::ErrorBody;

/// What to do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// The line is wrong; its error is its record.
    Record,
    /// Nothing was wrong but the moment; the next call waits for its turn by itself.
    Again,
    /// Try again, a few times.
    Charge,
    /// The model takes no work now. Try again as often as it takes, when the model is due.
    Wait(Option<Duration>),
}

/// What to do about a call that failed.
pub(crate) fn of_error(error: &Error) -> Remedy {
    match error.kind() {
        _ if matches!(error.code(), Some(YIELDED | NO_SPARE_CAPACITY)) => Remedy::Again,
        Kind::RateLimited { retry_after } => Remedy::Wait(retry_after),
        // Refused credentials and a vanished model are mistakes of the operator, not of the line.
        Kind::Unavailable | Kind::Unauthenticated | Kind::PermissionDenied => Remedy::Wait(None),
        Kind::BadUpstream if error.code() == Some(CREDENTIALS_REFUSED) => Remedy::Wait(None),
        Kind::NotFound if error.code() == Some("model_not_found") => Remedy::Wait(None),
        Kind::Timeout | Kind::Internal | Kind::BadUpstream => Remedy::Charge,
        _ => Remedy::Record,
    }
}

/// What to do about an answer.
pub(crate) fn of_answer(status: u16, body: &[u8]) -> Remedy {
    // The batch was accepted with this model: a deployment that lacks it is a mistake of the operator.
    if status == 404 && serde_json::from_slice::<ErrorBody>(body).is_ok_and(|body| is_model_missing(&body)) {
        return Remedy::Wait(None);
    }
    of_status(status)
}

fn is_model_missing(body: &ErrorBody) -> bool {
    body.error.code.as_deref() == Some("model_not_found")
}

fn of_status(status: u16) -> Remedy {
    match status {
        401 | 403 | 429 | 503 => Remedy::Wait(None),
        408 | 500 | 502 | 504.. => Remedy::Charge,
        _ => Remedy::Record,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_own_mistakes_are_recorded_at_once() {
        assert!([200, 400, 404, 413, 422].into_iter().all(|status| of_status(status) == Remedy::Record));
        assert_eq!(of_error(&Error::invalid("no")), Remedy::Record);
    }

    #[test]
    fn a_model_that_takes_no_work_charges_nobody() {
        let told = Some(Duration::from_secs(2));

        assert_eq!(of_error(&Error::new(Kind::RateLimited { retry_after: told }, "later")), Remedy::Wait(told));
        assert_eq!(of_error(&Error::not_found("gone").with_code("model_not_found")), Remedy::Wait(None));
        let refused = Error::new(Kind::BadUpstream, "our key").with_code(CREDENTIALS_REFUSED);
        assert_eq!(of_error(&refused), Remedy::Wait(None));
        assert!([401, 403, 429, 503].into_iter().all(|status| of_status(status) == Remedy::Wait(None)));
    }

    #[test]
    fn a_deployment_without_the_model_charges_nobody() {
        let body = br#"{"error":{"message":"m","type":"t","param":"model","code":"model_not_found"}}"#;

        assert_eq!(of_answer(404, body), Remedy::Wait(None));
        assert_eq!(of_answer(404, b"{}"), Remedy::Record);
    }

    #[test]
    fn to_give_way_is_no_failure() {
        let gave_way = |code| Error::unavailable("m").with_code(code);

        assert_eq!([YIELDED, NO_SPARE_CAPACITY].map(|code| of_error(&gave_way(code))), [Remedy::Again; 2]);
        assert_eq!(of_error(&gave_way("other")), Remedy::Wait(None));
    }

    #[test]
    fn accidents_are_charged() {
        assert!([408, 500, 502, 504].into_iter().all(|status| of_status(status) == Remedy::Charge));
        assert_eq!(of_error(&Error::new(Kind::Timeout, "slow")), Remedy::Charge);
    }
}
