//! Webhooks: what becomes of a delivery, of each attempt at it, and of an endpoint that does not answer.

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$of])* $variant),+ }

        impl $name {
            /// Every one.
            pub const ALL: [Self; [$($word),+].len()] = [$(Self::$variant),+];

            /// Its word in JSON, SQL and metrics.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The one of that word.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|one| one.as_str() == text)
            }
        }
    };
}

words!(
    /// How far a delivery is.
    DeliveryStatus {
        /// To be tried, for the first time or again.
        Pending = "pending",
        /// The endpoint has taken it.
        Delivered = "delivered",
        /// Given up.
        Failed = "failed",
    }
);

words!(
    /// How an attempt ended.
    AttemptOutcome {
        /// A status of 200 to 299.
        Delivered = "delivered",
        /// Any other status; redirects too, which are not followed.
        Refused = "refused",
        /// 410: the endpoint wants nothing any more.
        Gone = "gone",
        /// No answer in time.
        TimedOut = "timed_out",
        /// No connection, or one that broke.
        Unreachable = "unreachable",
        /// Its address is not one that the platform sends to.
        Forbidden = "forbidden",
    }
);

words!(
    /// Why the platform disabled an endpoint.
    DisabledReason {
        /// It answered 410.
        Gone = "gone",
        /// Nothing arrived for days.
        Failing = "failing",
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_as_it_was_written() {
        for status in DeliveryStatus::ALL {
            assert_eq!(DeliveryStatus::parse(status.as_str()), Some(status));
        }
        for outcome in AttemptOutcome::ALL {
            assert_eq!(AttemptOutcome::parse(outcome.as_str()), Some(outcome));
        }
        assert_eq!(DisabledReason::parse("gone"), Some(DisabledReason::Gone));
        assert_eq!(DisabledReason::parse("bored"), None);
    }
}
