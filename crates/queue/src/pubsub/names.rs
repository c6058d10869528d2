//! The full names of what is used in Pub/Sub.

use super::{PubSubSettings, SubmissionsPubSubSettings, resources::Made};
use crate::google::{is_full_name, is_name};
use domain::{Error, Result};

/// Full names, as Pub/Sub wants them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) topic: String,
    pub(super) subscription: String,
    /// For what can't be used.
    pub(super) dead: Option<Dead>,
}

/// A topic for what can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dead {
    pub(super) topic: String,
    /// Keeps it.
    pub(super) subscription: String,
}

impl Names {
    pub(super) fn of_doorbell(settings: &PubSubSettings) -> Result<Self> {
        let section = Section { name: "doorbell.pubsub", project: settings.project.as_deref() };
        let dead = settings.dead_letter_topic.as_deref();
        let dead = dead.map(|topic| section.dead(topic, settings.dead_letter_subscription.as_deref())).transpose()?;
        section.names(&settings.topic, &settings.subscription, dead)
    }

    pub(super) fn of_submissions(settings: &SubmissionsPubSubSettings, project: Option<&str>) -> Result<Self> {
        let section = Section { name: "submissions.pubsub", project };
        let dead = section.dead(&settings.dead_letter_topic, settings.dead_letter_subscription.as_deref())?;
        section.names(&settings.topic, &settings.subscription, Some(dead))
    }

    /// All of it, what keeps dead letters first.
    pub(super) fn made(&self) -> Vec<Made> {
        let dead = self.dead.iter().map(|dead| (&dead.topic, &dead.subscription));
        let all = dead.chain([(&self.topic, &self.subscription)]);
        all.map(|(topic, kept)| Made { topic: topic.clone(), subscription: Some(kept.clone()) }).collect()
    }
}

/// A section of the settings.
struct Section<'a> {
    name: &'static str,
    /// Of those resources that are named by their ids only.
    project: Option<&'a str>,
}

impl Section<'_> {
    fn names(&self, topic: &str, subscription: &str, dead: Option<Dead>) -> Result<Names> {
        let names = Names {
            topic: self.full("topic", "topics", topic)?,
            subscription: self.full("subscription", "subscriptions", subscription)?,
            dead,
        };
        // What was moved there would be heard again.
        if names.dead.as_ref().is_some_and(|dead| dead.topic == names.topic) {
            let section = self.name;
            return Err(Error::invalid(format!("{section}.dead_letter_topic: another topic than {section}.topic")));
        }
        Ok(names)
    }

    fn dead(&self, topic: &str, subscription: Option<&str>) -> Result<Dead> {
        let topic = self.full("dead_letter_topic", "topics", topic)?;
        let subscription = match subscription {
            Some(name) => self.full("dead_letter_subscription", "subscriptions", name)?,
            None => topic.replacen("/topics/", "/subscriptions/", 1),
        };
        Ok(Dead { topic, subscription })
    }

    fn full(&self, key: &str, kind: &str, name: &str) -> Result<String> {
        let section = self.name;
        if is_full_name(name, kind) {
            return Ok(name.to_owned());
        }
        if !is_name(name) {
            let text =
                format!("{section}.{key}: an id of 3 to 255 characters, or `projects/PROJECT/{kind}/ID`, not {name:?}");
            return Err(Error::invalid(text));
        }
        match self.project {
            Some(project) if is_name(project) => Ok(format!("projects/{project}/{kind}/{name}")),
            _ => {
                let text = format!(
                    "doorbell.pubsub.project: set it, or write {section}.{key} as `projects/PROJECT/{kind}/ID`"
                );
                Err(Error::invalid(text))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(project: Option<&str>, topic: &str, dead: Option<&str>) -> Result<Names> {
        Names::of_doorbell(&PubSubSettings {
            project: project.map(str::to_owned),
            topic: topic.to_owned(),
            dead_letter_topic: dead.map(str::to_owned),
            ..PubSubSettings::default()
        })
    }

    #[test]
    fn ids_are_of_the_project_and_full_names_of_their_own() {
        let names = read(Some("acme"), "projects/other/topics/bell", Some("bell-dead")).unwrap();

        assert_eq!(names.topic, "projects/other/topics/bell");
        assert_eq!(names.subscription, "projects/acme/subscriptions/tandem-doorbell");
        let dead = names.dead.unwrap();
        assert_eq!(dead.topic, "projects/acme/topics/bell-dead");
        assert_eq!(dead.subscription, "projects/acme/subscriptions/bell-dead");
    }

    #[test]
    fn what_is_no_name_is_refused_with_its_key() {
        for (project, topic, dead, key) in [
            (None, "bell", None, "doorbell.pubsub.project"),
            (Some("a b"), "bell", None, "doorbell.pubsub.project"),
            (Some("acme"), "no bell", None, "doorbell.pubsub.topic"),
            (Some("acme"), "projects/acme/subscriptions/bell", None, "doorbell.pubsub.topic"),
            (Some("acme"), "bell", Some(""), "doorbell.pubsub.dead_letter_topic"),
            (Some("acme"), "bell", Some("bell"), "doorbell.pubsub.dead_letter_topic"),
        ] {
            let error = read(project, topic, dead).unwrap_err().chain();
            assert!(error.contains(key), "{error}");
        }
    }

    #[test]
    fn jobs_have_resources_of_their_own_in_the_same_project() {
        let settings = SubmissionsPubSubSettings {
            dead_letter_subscription: Some("projects/other/subscriptions/kept".to_owned()),
            ..SubmissionsPubSubSettings::default()
        };
        let names = Names::of_submissions(&settings, Some("acme")).unwrap();

        assert_eq!(names.subscription, "projects/acme/subscriptions/tandem-submissions");
        assert_eq!(names.made().len(), 2);
        let dead = names.dead.unwrap();
        assert_eq!(dead.topic, "projects/acme/topics/tandem-submissions-dead");
        assert_eq!(dead.subscription, "projects/other/subscriptions/kept");
        let error = Names::of_submissions(&settings, None).unwrap_err().chain();
        assert!(error.contains("doorbell.pubsub.project") && error.contains("submissions.pubsub."), "{error}");
    }
}
