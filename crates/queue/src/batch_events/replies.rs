//! Where the sender of a job may be answered.

use crate::{EventsSettings, Topic};
use domain::{Error, Result};

/// What `reply_to` of a job may say.
#[derive(Debug, Clone)]
pub struct Replies {
    /// None = any queue of the broker, whose own permissions say what may be published where.
    listed: Option<Vec<Topic>>,
}

impl Replies {
    /// As the settings say.
    ///
    /// # Errors
    /// When an id stands for two topics.
    pub fn new(settings: &EventsSettings) -> Result<Self> {
        let topics = &settings.reply_topics;
        let is_double = |index: usize| topics[..index].iter().any(|topic| topic.id() == topics[index].id());
        if let Some(index) = (0..topics.len()).find(|index| is_double(*index)) {
            let text = format!("events.reply_topics: two of them have the id {:?}", topics[index].id());
            return Err(Error::invalid(text));
        }
        Ok(Self { listed: settings.batch_topic.is_some().then(|| topics.clone()) })
    }

    /// Whether the sender of a job can be answered there.
    ///
    /// # Errors
    /// Says that it is not listed.
    pub fn judge(&self, reply_to: &str) -> Result<()> {
        if self.listed.is_none() || self.topic(reply_to).is_some() {
            return Ok(());
        }
        let text =
            "`reply_to` names no topic that is replied to. Ask the operator to list it in `events.reply_topics`.";
        Err(Error::invalid(text).with_param("reply_to").with_code("reply_to_not_allowed"))
    }

    /// The listed topic of this id or full name.
    pub(crate) fn topic(&self, reply_to: &str) -> Option<&Topic> {
        self.topics().find(|topic| topic.as_str() == reply_to || topic.id() == reply_to)
    }

    /// All that are listed.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.listed.iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str) -> Topic {
        Topic::try_from(name.to_owned()).unwrap()
    }

    fn replies(reply_topics: &[&str]) -> Result<Replies> {
        Replies::new(&EventsSettings {
            batch_topic: Some(topic("projects/acme/topics/events")),
            reply_topics: reply_topics.iter().map(|name| topic(name)).collect(),
            ..EventsSettings::default()
        })
    }

    #[test]
    fn only_listed_topics_are_replied_to() {
        let replies = replies(&["projects/acme/topics/answers", "projects/other/topics/etl"]).unwrap();

        for allowed in ["answers", "projects/acme/topics/answers", "etl"] {
            replies.judge(allowed).unwrap();
        }
        for refused in ["events", "projects/other/topics/answers", "projects/acme/topics/events", "", "topics/etl"] {
            assert_eq!(replies.judge(refused).unwrap_err().param(), Some("reply_to"), "{refused}");
        }
    }

    #[test]
    fn an_id_stands_for_one_topic() {
        let error = replies(&["projects/acme/topics/answers", "projects/other/topics/answers"]).unwrap_err();

        assert!(error.message().contains("answers"), "{error}");
    }

    #[test]
    fn a_queue_is_for_the_broker_to_judge() {
        Replies::new(&EventsSettings::default()).unwrap().judge("any.queue").unwrap();
    }
}
