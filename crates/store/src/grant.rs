//! How much of a limit a replica gets: pure arithmetic, so that every rule is a table test.

/// Where a limit stands when a replica asks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The limit.
    pub(crate) amount: i64,
    /// Used within the window or period.
    pub(crate) used: i64,
    /// What other replicas hold.
    pub(crate) others: i64,
    /// How many others hold something.
    pub(crate) replicas: i64,
    /// Whether this report was taken in before.
    pub(crate) is_repeated: bool,
}

/// What the replica gets beyond `keep`. Alone it gets all it wants; among others at most an equal part of what is left, but enough
/// for the request that waits when there is enough.
pub(crate) fn balance(standing: &Standing, keep: i64, want: i64, need: i64) -> i64 {
    let spoken_for = standing.used.saturating_add(standing.others).saturating_add(keep);
    let free = standing.amount.saturating_sub(spoken_for).max(0);
    let share = if standing.replicas == 0 { free } else { free / (standing.replicas + 1) };
    want.min(share).max(need.min(free)).clamp(0, free)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn standing(used: i64, others: i64, replicas: i64) -> Standing {
        Standing { amount: 100, used, others, replicas, is_repeated: false }
    }

    #[test]
    fn a_replica_alone_gets_what_it_wants_and_there_is() {
        assert_eq!(balance(&standing(0, 0, 0), 0, 40, 1), 40);
        assert_eq!(balance(&standing(70, 0, 0), 10, 40, 1), 20);
    }

    #[test]
    fn among_others_it_gets_an_equal_part_of_what_is_left() {
        assert_eq!(balance(&standing(0, 40, 2), 0, 60, 1), 20);
        assert_eq!(balance(&standing(0, 98, 1), 0, 60, 2), 2, "the one that waits is served");
        assert_eq!(balance(&standing(0, 99, 1), 0, 60, 2), 1, "a part is of use to smaller requests");
    }

    #[test]
    fn nothing_is_left_of_a_limit_that_was_lowered() {
        assert_eq!(balance(&standing(150, 0, 0), 10, 40, 1), 0);
    }

    proptest! {
        #[test]
        fn the_limit_is_never_passed(used in 0i64..200, others in 0i64..200, replicas in 0i64..5, keep in 0i64..50, want in 0i64..500, need in 0i64..500) {
            let standing = standing(used, others, replicas);

            let balance = balance(&standing, keep, want, need);

            prop_assert!(balance >= 0);
            prop_assert!(balance == 0 || used + others + keep + balance <= 100);
        }
    }
}
