//! The three sources, kept apart so that every value knows where it came from and can be set aside.

use super::{
    PREFIX,
    fault::Fault,
    report::{Problem, Source},
    secret::HIDDEN,
    tree::{Layer, from_config, place, place_mut},
};
use config::{Config, ConfigError, Environment, Source as _};
use serde_json::{Map, Number, Value};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

pub(super) struct Layers {
    /// As they are shown to people.
    defaults: Value,
    file: Value,
    file_name: PathBuf,
    /// By full name.
    env: BTreeMap<String, Variable>,
}

/// An environment variable, whose text may have to be read as something else than text.
struct Variable {
    text: String,
    reading: usize,
    /// What was wrong with it as text, which says best what is expected.
    first_fault: Option<String>,
}

/// Where a value came from, precisely enough to take it away again.
enum Origin {
    Variables(Vec<String>),
    /// The part of the path that leads to it in the file.
    File(Vec<String>),
    Nowhere,
}

impl Layers {
    pub(super) fn read(
        defaults: Value,
        file: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let prefix = format!("{PREFIX}__");
        let env = env.filter(|(name, _)| name.starts_with(&prefix));
        let table = file.and_then(|path| read_file(path).map_err(|problem| problems.push(problem)).ok());
        Self {
            defaults,
            file: Value::Object(table.unwrap_or_default()),
            file_name: file.map(Path::to_owned).unwrap_or_default(),
            env: env.map(|(name, text)| (name, Variable { text, reading: 0, first_fault: None })).collect(),
        }
    }

    /// All of it in one tree.
    pub(super) fn merged(&self) -> Result<Value, Fault> {
        let mut tree = self.layered().map_err(|error| Fault::general(error.to_string()))?;
        for (name, variable) in self.env.iter().filter(|(_, variable)| variable.reading > 0) {
            if let Some(place) = place_mut(&mut tree, &path_of(name))
                && let Some(value) = variable.readings().into_iter().nth(variable.reading)
            {
                *place = value;
            }
        }
        Ok(tree)
    }

    fn layered(&self) -> Result<Value, ConfigError> {
        let mut base = self.defaults.clone();
        remove_hidden(&mut base);
        let texts = self.env.iter().map(|(name, variable)| (name.clone(), variable.text.clone())).collect();
        let env = Environment::with_prefix(PREFIX).prefix_separator("__").separator("__").source(Some(texts));
        let config = Config::builder()
            .add_source(Layer::new(&base))
            .add_source(Layer::new(&self.file))
            .add_source(env)
            .build()?;
        Ok(Value::Object(config.collect()?.into_iter().map(|(key, value)| (key, from_config(value.kind))).collect()))
    }

    /// Tries the next way to read the variable that `fault` is about. `false` when there is none.
    pub(super) fn reread(&mut self, fault: &Fault) -> bool {
        let Some(name) = self.variable(&fault.path) else { return false };
        let Some(variable) = self.env.get_mut(&name).filter(|_| !fault.is_unknown_key) else { return false };
        let first = variable.first_fault.get_or_insert_with(|| fault.message.clone());
        // A struct can be read from a list too, which nobody means.
        let wants_list = first.contains("expected a sequence");
        variable.reading += 1;
        let next = variable.readings().into_iter().nth(variable.reading);
        next.is_some_and(|value| wants_list || !value.is_array())
    }

    /// Forgets the value that `path` leads to. `false` when no source has it.
    pub(super) fn set_aside(&mut self, path: &[String]) -> bool {
        match self.origin(path) {
            Origin::Variables(names) => {
                for name in names {
                    self.env.remove(&name);
                }
                true
            }
            Origin::File(path) => remove(&mut self.file, &path),
            Origin::Nowhere => false,
        }
    }

    /// `fault` in words for the operator.
    pub(super) fn problem(&self, fault: &Fault) -> Problem {
        let key = fault.path.join(".");
        let (source, value) = match self.origin(&fault.path) {
            Origin::Variables(names) => {
                let value = self.env.get(&names[0]).filter(|_| names.len() == 1);
                (Source::Environment(names), value.map(|variable| Value::String(variable.text.clone())))
            }
            Origin::File(_) => (Source::File(self.file_name.clone()), place(&self.file, &fault.path).cloned()),
            Origin::Nowhere => (Source::Defaults, None),
        };
        if fault.is_unknown_key {
            return Problem::unknown_key(key, source, &self.known_beside(&fault.path), &fault.message);
        }
        let first = self.variable(&fault.path).and_then(|name| self.env[&name].first_fault.clone());
        let message = first.unwrap_or_else(|| fault.message.clone());
        Problem::bad_value(key, source, value, place(&self.defaults, &fault.path), &message)
    }

    fn origin(&self, path: &[String]) -> Origin {
        if let Some(name) = self.variable(path) {
            return Origin::Variables(vec![name]);
        }
        let below = |name: &&String| !path.is_empty() && path_of(name).starts_with(path);
        let below: Vec<String> = self.env.keys().filter(below).cloned().collect();
        let is_section = place(&self.defaults, path).is_some_and(Value::is_object);
        let in_file = !path.is_empty() && place(&self.file, path).is_some();
        match (in_file, below.is_empty()) {
            (true, true) => Origin::File(path.to_vec()),
            (true, false) if is_section => Origin::File(path.to_vec()),
            (_, false) => Origin::Variables(below),
            (false, true) => Origin::Nowhere,
        }
    }

    /// The variable that gives the value at `path`, or a value that contains it.
    fn variable(&self, path: &[String]) -> Option<String> {
        let names = self.env.keys().filter(|name| path.starts_with(&path_of(name)));
        names.max_by_key(|name| name.len()).cloned()
    }

    fn known_beside(&self, path: &[String]) -> Vec<String> {
        let parent = path.split_last().map_or(path, |(_, parent)| parent);
        let parent = place(&self.defaults, parent).and_then(Value::as_object);
        parent.map(|keys| keys.keys().cloned().collect()).unwrap_or_default()
    }
}

impl Variable {
    /// What the text may mean, likeliest first: text, a number or truth value, a list of either.
    fn readings(&self) -> Vec<Value> {
        let parts = || self.text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let mut readings = vec![Value::String(self.text.clone())];
        readings.extend(scalar(&self.text));
        readings.push(parts().map(|part| Value::String(part.to_owned())).collect());
        readings.push(parts().filter_map(scalar).collect());
        readings
    }
}

fn scalar(text: &str) -> Option<Value> {
    let text = text.trim();
    let whole = || text.parse::<i64>().map(Number::from).or_else(|_| text.parse::<u64>().map(Number::from)).ok();
    let fraction = || text.parse::<f64>().ok().and_then(Number::from_f64);
    text.parse::<bool>().map(Value::Bool).ok().or_else(|| whole().or_else(fraction).map(Value::Number))
}

fn path_of(name: &str) -> Vec<String> {
    // Without the prefix, `TANDEM`, which is no part of the path.
    name.to_lowercase().split("__").skip(1).map(str::to_owned).collect()
}

/// Takes away what `path` leads to, or the whole list it leads into.
fn remove(tree: &mut Value, path: &[String]) -> bool {
    let Value::Object(keys) = tree else { return false };
    let Some((first, rest)) = path.split_first() else { return false };
    match keys.get_mut(first) {
        Some(child) if !rest.is_empty() && child.is_object() => remove(child, rest),
        Some(_) => keys.remove(first).is_some(),
        None => false,
    }
}

/// A secret among the defaults is not written out, so it can't be read back: the type's own default stays.
fn remove_hidden(tree: &mut Value) {
    if let Value::Object(keys) = tree {
        keys.retain(|_, value| value.as_str() != Some(HIDDEN));
        keys.values_mut().for_each(remove_hidden);
    }
}

fn read_file(path: &Path) -> Result<Map<String, Value>, Problem> {
    let name = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Problem::general(format!("the settings file {name} can't be read: {error}")))?;
    let table: toml::Table = toml::from_str(&text).map_err(|error| {
        // Not the parser's own rendering: it quotes the line, which may hold a secret.
        let line = error.span().map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count());
        Problem::general(format!("{name}, line {line}: this is not TOML: {}", error.message()))
    })?;
    match serde_json::to_value(table) {
        Ok(Value::Object(keys)) => Ok(keys),
        Ok(_) => Ok(Map::new()),
        Err(error) => Err(Problem::general(format!("the settings file {name} can't be read: {error}"))),
    }
}
