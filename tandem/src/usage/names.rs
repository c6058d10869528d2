//! What a provider calls a model, and where its requests are in the ledger. A ledger has the names of Tandem: the model and the
//! deployment that answered. In this order: what `--map` says; the deployments whose `upstream_model` it is; the deployment or model
//! of that name; the same without regard to case, punctuation and a date at the end.

use super::options::NameMap;
use anyhow::bail;
use std::collections::BTreeSet;

/// A model and a deployment as the ledger has them.
pub(super) type Place = (String, String);

/// Models of a bill that are the same requests here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    /// As the bill calls them.
    pub(super) theirs: Vec<String>,
    /// Where they are in the ledger; nowhere, if it knows nothing of them.
    pub(super) places: BTreeSet<Place>,
}

/// What is known of names.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) maps: Vec<NameMap>,
    /// `upstream_model` and name of every deployment of the catalog.
    pub(super) upstreams: Vec<(String, String)>,
    /// All of the ledger.
    pub(super) places: BTreeSet<Place>,
}

impl Names {
    /// Finds the models of a bill in the ledger.
    ///
    /// # Errors
    /// When two of them claim the same requests.
    pub(super) fn group(&self, theirs: &BTreeSet<&str>) -> anyhow::Result<Vec<Group>> {
        let mut groups: Vec<Group> = Vec::new();
        for name in theirs {
            let places = self.places_of(name);
            let shares = |group: &&mut Group| !group.places.is_disjoint(&places);
            match groups.iter_mut().find(shares) {
                None => groups.push(Group { theirs: vec![(*name).to_owned()], places }),
                Some(group) if group.places == places => group.theirs.push((*name).to_owned()),
                Some(group) => bail!(
                    "`{name}` and `{}` of the bill claim the same requests of the ledger in part. Say which deployment each is: \
                     --map '{name}=DEPLOYMENT'",
                    group.theirs[0]
                ),
            }
        }
        Ok(groups)
    }

    fn places_of(&self, name: &str) -> BTreeSet<Place> {
        if let Some(map) = self.maps.iter().find(|map| map.theirs == name) {
            return self.called(|ours| ours == map.ours);
        }
        let plain = plain(name);
        let found = self.found(|other| other == name).or_else(|| self.found(|other| self::plain(other) == plain));
        found.unwrap_or_default()
    }

    /// None: neither the catalog nor the ledger knows it.
    fn found(&self, is_it: impl Fn(&str) -> bool) -> Option<BTreeSet<Place>> {
        let of_catalog = self.upstreams.iter().filter(|(upstream, _)| is_it(upstream));
        let deployments: BTreeSet<_> = of_catalog.map(|(_, deployment)| deployment.as_str()).collect();
        if !deployments.is_empty() {
            return Some(
                self.places.iter().filter(|(_, there)| deployments.contains(there.as_str())).cloned().collect(),
            );
        }
        Some(self.called(is_it)).filter(|places| !places.is_empty())
    }

    /// A deployment of that name, else a model.
    fn called(&self, is_it: impl Fn(&str) -> bool) -> BTreeSet<Place> {
        let deployments: BTreeSet<_> = self.places.iter().filter(|(_, name)| is_it(name)).cloned().collect();
        if !deployments.is_empty() {
            return deployments;
        }
        self.places.iter().filter(|(model, _)| is_it(model)).cloned().collect()
    }
}

/// `Claude Haiku 4.5` and `claude-haiku-4-5-20251001` are the same, and so are `gpt-4o-2024-08-06` and `gpt-4o`.
fn plain(name: &str) -> String {
    let lower = name.to_lowercase();
    let words: Vec<_> = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let is = |word: &&str, digits: usize| word.len() == digits && word.bytes().all(|b| b.is_ascii_digit());
    let date = match &words[..] {
        [_, .., date] if is(date, 8) => 1,
        [_, .., year, month, day] if is(year, 4) && is(month, 2) && is(day, 2) => 3,
        _ => 0,
    };
    words[..words.len() - date].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(pairs: &[(&str, &str)]) -> BTreeSet<Place> {
        pairs.iter().map(|(model, deployment)| ((*model).to_owned(), (*deployment).to_owned())).collect()
    }

    fn names(upstreams: &[(&str, &str)], maps: &[&str]) -> Names {
        Names {
            maps: maps.iter().map(|map| map.parse().unwrap()).collect(),
            upstreams: upstreams.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
            places: places(&[("fast", "openai"), ("fast", "gpus"), ("smart", "claude"), ("gpt-4o", "azure")]),
        }
    }

    #[test]
    fn plain_names_have_no_dates() {
        for (name, told) in [
            ("Claude Haiku 4.5", "claude-haiku-4-5"),
            ("claude-haiku-4-5-20251001", "claude-haiku-4-5"),
            ("claude-haiku-4-5@20251001", "claude-haiku-4-5"),
            ("gpt-4o-2024-08-06", "gpt-4o"),
            ("20251001", "20251001"),
        ] {
            assert_eq!(plain(name), told);
        }
    }

    #[test]
    fn a_name_is_found_by_the_surest_way() {
        let catalog = [("gpt-4o-mini", "openai"), ("claude-haiku-4-5", "claude")];
        for (theirs, maps, found) in [
            ("gpt-4o-mini-2024-07-18", &[][..], places(&[("fast", "openai")])),
            ("Claude Haiku 4.5", &[], places(&[("smart", "claude")])),
            ("gpt-4o", &[], places(&[("gpt-4o", "azure")])),
            ("gpus", &[], places(&[("fast", "gpus")])),
            ("fast", &[], places(&[("fast", "openai"), ("fast", "gpus")])),
            ("gpt-4o-mini", &["gpt-4o-mini=smart"], places(&[("smart", "claude")])),
            ("gpt-4o-mini", &["gpt-4o-mini=gone"], places(&[])),
            ("whisper-1", &[], places(&[])),
        ] {
            assert_eq!(names(&catalog, maps).places_of(theirs), found, "{theirs}");
        }
    }

    #[test]
    fn names_of_the_same_requests_are_compared_together() {
        let names = names(&[("gpt-4o-mini", "openai")], &[]);

        let groups =
            names.group(&BTreeSet::from(["gpt-4o-mini-2024-07-18", "GPT-4o mini", "whisper-1", "tts-1"])).unwrap();

        let theirs: Vec<_> = groups.iter().map(|group| group.theirs.join("+")).collect();
        assert_eq!(theirs, ["GPT-4o mini+gpt-4o-mini-2024-07-18", "tts-1", "whisper-1"]);
    }

    #[test]
    fn requests_that_two_names_claim_in_part_are_asked_about() {
        let error = names(&[], &[]).group(&BTreeSet::from(["fast", "gpus"])).unwrap_err().to_string();

        assert!(error.contains("--map 'gpus=DEPLOYMENT'"), "{error}");
    }
}
