//! When and how much of a batch may run, as its owner asks and may ask anew while it runs.

/// Lines of a capped batch that one shard may have in flight at most.
pub const LINES_A_SHARD: i64 = 64;

/// What goes first among the batches of one tenant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Before all others of its tenant.
    Urgent,
    /// By its deadline.
    #[default]
    Standard,
    /// After all others of its tenant, and with an eighth of its tenant's share.
    Idle,
}

impl Priority {
    /// Every priority, the first one first.
    pub const ALL: [Self; 3] = [Self::Urgent, Self::Standard, Self::Idle];

    /// Its word in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Urgent => "urgent",
            Self::Standard => "standard",
            Self::Idle => "idle",
        }
    }

    /// The priority of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|priority| priority.as_str() == word)
    }

    /// Its place in [`Priority::ALL`], by which rows are ordered.
    #[must_use]
    pub fn rank(self) -> i64 {
        self as i64
    }

    /// The priority of that rank.
    #[must_use]
    pub fn from_rank(rank: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|priority| priority.rank() == rank)
    }
}

/// A part of every day of UTC, in minutes after midnight. It may reach over midnight; it is never the whole day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DailyWindow {
    start_min: i64,
    end_min: i64,
}

impl DailyWindow {
    /// Reads `HH:MM` twice. `None`: one of them is no time of day, or they are the same.
    #[must_use]
    pub fn parse(start: &str, end: &str) -> Option<Self> {
        Self::from_minutes(minutes(start)?, minutes(end)?)
    }

    /// From `start_min` to before `end_min`. `None`: one of them is no minute of a day, or they are the same.
    #[must_use]
    pub fn from_minutes(start_min: i64, end_min: i64) -> Option<Self> {
        let fits = |minute| (0..1440).contains(&minute);
        (fits(start_min) && fits(end_min) && start_min != end_min).then_some(Self { start_min, end_min })
    }

    /// When it opens and when it closes, in minutes after midnight.
    #[must_use]
    pub fn to_minutes(self) -> (i64, i64) {
        (self.start_min, self.end_min)
    }

    /// How long it is.
    #[must_use]
    pub fn minutes(self) -> i64 {
        (self.end_min - self.start_min).rem_euclid(1440)
    }

    /// The same as `HH:MM`.
    #[must_use]
    pub fn to_words(self) -> (String, String) {
        let word = |minute: i64| format!("{:02}:{:02}", minute / 60, minute % 60);
        (word(self.start_min), word(self.end_min))
    }
}

fn minutes(text: &str) -> Option<i64> {
    let (hours, minutes) = text.split_once(':')?;
    let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
    (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
}

fn two_digits(text: &str) -> Option<i64> {
    let is_right = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_right.then(|| text.parse().ok())?
}

/// When and how much of a batch may run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Terms {
    /// Its place among its tenant's batches.
    pub priority: Priority,
    /// No line begins before this time; milliseconds of the database's clock.
    pub not_before_ms: Option<i64>,
    /// Lines begin only within this part of the day.
    pub run_between: Option<DailyWindow>,
    /// Lines in flight at once over all workers; none = as many as workers carry.
    pub max_concurrency: Option<i64>,
}

/// Lines that one shard of a batch with this cap may have in flight. With at most [`shards_of_cap`] shards at work they never
/// exceed the cap together.
#[must_use]
pub fn lines_of_cap(max_concurrency: i64) -> i64 {
    (max_concurrency / shards_of_cap(max_concurrency)).max(1)
}

/// Shards of a batch with this cap that may be at work at once.
#[must_use]
pub fn shards_of_cap(max_concurrency: i64) -> i64 {
    (max_concurrency.max(1) + LINES_A_SHARD - 1) / LINES_A_SHARD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_two_times_of_the_day() {
        let window = DailyWindow::parse("22:00", "06:30").unwrap();

        assert_eq!((window.to_minutes(), window.minutes()), ((1320, 390), 510));
        assert_eq!(window.to_words(), ("22:00".to_owned(), "06:30".to_owned()));
        for (start, end) in [
            ("24:00", "06:00"),
            ("6:00", "07:00"),
            ("06:00", "06:00"),
            ("06:60", "07:00"),
            ("+1:00", "02:00"),
            ("", ""),
        ] {
            assert_eq!(DailyWindow::parse(start, end), None, "{start} {end}");
        }
    }

    #[test]
    fn shards_together_keep_to_the_cap() {
        for cap in 1..=1_000 {
            let most = shards_of_cap(cap) * lines_of_cap(cap);
            assert!(most <= cap && most * 2 > cap, "{cap}: {most}");
        }
    }

    #[test]
    fn words_and_ranks_round_trip() {
        for priority in Priority::ALL {
            assert_eq!(Priority::parse(priority.as_str()), Some(priority));
            assert_eq!(Priority::from_rank(priority.rank()), Some(priority));
        }
    }
}
