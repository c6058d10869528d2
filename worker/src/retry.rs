//! What a failed call means for its line: an error of the line itself, an accident to try again, or a model that takes no
//! work now. Faults of the platform inside the window never fail a line.

use domain::{Error, Kind};
use orchestrator::{ANSWER_INCOMPLETE, CONNECTION_LOST, CREDENTIALS_REFUSED, NO_SPARE_CAPACITY, YIELDED};
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
    /// The connection broke while the line was being answered: the server's doing, unless it happens to this line again and again.
    Forgive,
    /// The model takes no work now. Try again as often as it takes, when the model is due.
    Wait(Option<Duration>),
}

/// Failures that are the server's doing and not held against a line. One that kills its engine each time is not asked for ever.
const MERCIES: u32 = 10;

/// How a line has failed so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    charges: u32,
    mercies: u32,
}

/// What a line does after a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Its last answer or error is its record.
    Record,
    /// It asks when it is its turn.
    Ask,
    /// Nobody asks for a while.
    Pause(Option<Duration>),
    /// It asks once more, after a pause of its own that grows with so many failures.
    AskAgain(u32),
}

impl Tally {
    /// Takes in one more call. Half of all calls failing at once (`together`) is the engine's doing: nobody is charged.
    pub(crate) fn next(&mut self, remedy: Remedy, together: bool, max_attempts: u32) -> Next {
        let has_mercy = self.mercies < MERCIES;
        match remedy {
            Remedy::Record => return Next::Record,
            Remedy::Again => return Next::Ask,
            Remedy::Wait(retry_after) => return Next::Pause(retry_after),
            Remedy::Charge | Remedy::Forgive if has_mercy && together => {
                self.mercies += 1;
                return Next::Pause(None);
            }
            Remedy::Forgive if has_mercy => self.mercies += 1,
            Remedy::Charge | Remedy::Forgive => self.charges += 1,
        }
        if self.charges >= max_attempts { Next::Record } else { Next::AskAgain(self.charges + self.mercies) }
    }
}

/// What to do about a call that failed.
pub(crate) fn of_error(error: &Error) -> Remedy {
    match error.kind() {
        _ if matches!(error.code(), Some(YIELDED | NO_SPARE_CAPACITY)) => Remedy::Again,
        _ if matches!(error.code(), Some(CONNECTION_LOST | ANSWER_INCOMPLETE)) => Remedy::Forgive,
        Kind::RateLimited { retry_after } => Remedy::Wait(retry_after),
        // Refused credentials and a vanished model are mistakes of the operator, not of the line.
        Kind::Unauthenticated | Kind::PermissionDenied => Remedy::Wait(None),
        Kind::Unavailable => Remedy::Wait(error.retry_after()),
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
        401 | 403 | 429 | 503 | 529 => Remedy::Wait(None),
        408 | 500 | 502 | 504.. => Remedy::Charge,
        _ => Remedy::Record,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLD: Option<Duration> = Some(Duration::from_secs(2));

    fn error(kind: Kind) -> Error {
        Error::new(kind, "m")
    }

    #[test]
    fn every_failure_has_its_class() {
        let table = [
            // The line's own mistakes.
            (error(Kind::InvalidRequest), Remedy::Record),
            (error(Kind::NotFound), Remedy::Record),
            (error(Kind::TooLarge), Remedy::Record),
            (error(Kind::Unprocessable), Remedy::Record),
            (error(Kind::Unsupported), Remedy::Record),
            // Nobody takes work: no connection, overload, a drain, a breaker that is open.
            (error(Kind::Unavailable), Remedy::Wait(None)),
            (error(Kind::Unavailable).with_retry_after(Duration::from_secs(2)), Remedy::Wait(TOLD)),
            (error(Kind::RateLimited { retry_after: None }), Remedy::Wait(None)),
            (error(Kind::RateLimited { retry_after: TOLD }), Remedy::Wait(TOLD)),
            // The operator's mistakes: the model is parked.
            (error(Kind::Unauthenticated), Remedy::Wait(None)),
            (error(Kind::PermissionDenied), Remedy::Wait(None)),
            (error(Kind::BadUpstream).with_code(CREDENTIALS_REFUSED), Remedy::Wait(None)),
            (error(Kind::NotFound).with_code("model_not_found"), Remedy::Wait(None)),
            // The connection broke with the call under way.
            (error(Kind::Unavailable).with_code(CONNECTION_LOST), Remedy::Forgive),
            (error(Kind::BadUpstream).with_code(ANSWER_INCOMPLETE), Remedy::Forgive),
            // The model tried and failed.
            (error(Kind::Timeout), Remedy::Charge),
            (error(Kind::Internal), Remedy::Charge),
            (error(Kind::BadUpstream), Remedy::Charge),
            // Batch gave way.
            (error(Kind::RateLimited { retry_after: None }).with_code(YIELDED), Remedy::Again),
            (error(Kind::Unavailable).with_code(NO_SPARE_CAPACITY), Remedy::Again),
        ];
        for (error, remedy) in table {
            assert_eq!(of_error(&error), remedy, "{:?} {:?}", error.kind(), error.code());
        }
    }

    /// The calls that a line is given which always fails like this.
    fn calls(remedy: Remedy, together: bool) -> usize {
        let mut tally = Tally::default();
        1 + (0..1_000).take_while(|_| tally.next(remedy, together, 3) != Next::Record).count()
    }

    #[test]
    fn a_line_that_always_fails_is_not_asked_for_ever_unless_nobody_takes_work() {
        assert_eq!(calls(Remedy::Record, false), 1);
        assert_eq!(calls(Remedy::Charge, false), 3);
        assert_eq!(calls(Remedy::Charge, true), 13);
        assert_eq!([calls(Remedy::Forgive, false), calls(Remedy::Forgive, true)], [13; 2]);
        assert_eq!([calls(Remedy::Wait(None), false), calls(Remedy::Again, true)], [1_001; 2]);
    }

    #[test]
    fn what_failed_by_itself_waits_by_itself_and_what_failed_together_waits_together() {
        let mut tally = Tally::default();

        let steps = [
            tally.next(Remedy::Charge, true, 3),
            tally.next(Remedy::Forgive, false, 3),
            tally.next(Remedy::Charge, false, 3),
            tally.next(Remedy::Wait(TOLD), true, 3),
        ];

        assert_eq!(steps, [Next::Pause(None), Next::AskAgain(2), Next::AskAgain(3), Next::Pause(TOLD)]);
    }

    #[test]
    fn every_status_has_its_class() {
        let missing = r#"{"error":{"message":"m","type":"t","param":"model","code":"model_not_found"}}"#;
        let table: [(&[u16], &str, Remedy); 5] = [
            (&[200, 400, 404, 405, 409, 413, 415, 422, 501], "{}", Remedy::Record),
            (&[408, 500, 502, 504, 599], "{}", Remedy::Charge),
            (&[401, 403, 429, 503, 529], "{}", Remedy::Wait(None)),
            (&[404], missing, Remedy::Wait(None)),
            (&[400], missing, Remedy::Record),
        ];
        for (statuses, body, remedy) in table {
            for status in statuses {
                assert_eq!(of_answer(*status, body.as_bytes()), remedy, "{status} {body}");
            }
        }
    }
}
