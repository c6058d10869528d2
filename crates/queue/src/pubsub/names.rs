//! The full names of what is used in Pub/Sub.

use super::PubSubSettings;
use crate::google::{is_full_name, is_name};
use domain::{Error, Result};

/// Full names, as Pub/Sub wants them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) topic: String,
    pub(super) subscription: String,
    /// For what is no pointer.
    pub(super) dead: Option<Dead>,
}

/// A topic for what is no pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dead {
    pub(super) topic: String,
    /// Keeps it, where topics are made and not found.
    pub(super) subscription: String,
}

impl Names {
    pub(super) fn read(settings: &PubSubSettings) -> Result<Self> {
        let full = |key, kind, name: &str| full(settings.project.as_deref(), key, kind, name);
        let dead = settings.dead_letter_topic.as_deref().map(|name| -> Result<Dead> {
            let topic = full("dead_letter_topic", "topics", name)?;
            Ok(Dead { subscription: topic.replacen("/topics/", "/subscriptions/", 1), topic })
        });
        let names = Self {
            topic: full("topic", "topics", &settings.topic)?,
            subscription: full("subscription", "subscriptions", &settings.subscription)?,
            dead: dead.transpose()?,
        };
        // What was moved there would be heard again.
        if names.dead.as_ref().is_some_and(|dead| dead.topic == names.topic) {
            return Err(Error::invalid("doorbell.pubsub.dead_letter_topic: another topic than doorbell.pubsub.topic"));
        }
        Ok(names)
    }
}

fn full(project: Option<&str>, key: &str, kind: &str, name: &str) -> Result<String> {
    if is_full_name(name, kind) {
        return Ok(name.to_owned());
    }
    if !is_name(name) {
        let text = format!(
            "doorbell.pubsub.{key}: an id of 3 to 255 characters, or `projects/PROJECT/{kind}/ID`, not {name:?}"
        );
        return Err(Error::invalid(text));
    }
    match project {
        Some(project) if is_name(project) => Ok(format!("projects/{project}/{kind}/{name}")),
        _ => {
            let text = format!(
                "doorbell.pubsub.project: set it, or write doorbell.pubsub.{key} as `projects/PROJECT/{kind}/ID`"
            );
            Err(Error::invalid(text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(project: Option<&str>, topic: &str, dead: Option<&str>) -> Result<Names> {
        Names::read(&PubSubSettings {
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
}
