//! Settings: built-in defaults, then a TOML file, then `TANDEM__SECTION__KEY` from the environment. Everything that is
//! wrong with them is found in one go: a bad value is noted, set aside, and the rest is read as if it were not there.

mod fault;
mod layers;
mod report;
mod secret;
mod tree;

pub use report::{Problem, SettingsError};
pub use secret::Secret;

use fault::Fault;
use layers::Layers;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::path::Path;

/// What environment variables begin with.
pub const PREFIX: &str = "TANDEM";

/// Reads settings over the defaults of `T`. In environment variables, lists are separated by commas.
///
/// # Errors
/// Every unknown key and bad value of every source at once.
pub fn load<T>(file: Option<&Path>, env: impl Iterator<Item = (String, String)>) -> Result<T, SettingsError>
where
    T: DeserializeOwned + Serialize + Default,
{
    let mut problems = Vec::new();
    let mut layers = Layers::read(defaults::<T>()?, file, env, &mut problems);
    let settings = loop {
        match layers.merged().and_then(attempt::<T>) {
            Ok((settings, ignored)) => {
                problems.extend(ignored.into_iter().map(|path| layers.problem(&Fault::unknown(path))));
                break Some(settings);
            }
            Err(fault) if layers.reread(&fault) => {}
            Err(fault) => {
                problems.push(layers.problem(&fault));
                if !layers.set_aside(&fault.path) {
                    break None;
                }
            }
        }
    };
    match settings {
        Some(settings) if problems.is_empty() => Ok(settings),
        _ => Err(SettingsError::new(problems)),
    }
}

fn defaults<T: Default + Serialize>() -> Result<Value, SettingsError> {
    serde_json::to_value(T::default())
        .map_err(|error| SettingsError::new(vec![Problem::general(format!("the defaults can't be read: {error}"))]))
}

/// The settings and the keys that nothing asked for, or the first thing that is wrong.
fn attempt<T: DeserializeOwned>(merged: Value) -> Result<(T, Vec<Vec<String>>), Fault> {
    let mut track = serde_path_to_error::Track::new();
    let mut ignored = Vec::new();
    let deserializer = serde_path_to_error::Deserializer::new(merged, &mut track);
    let outcome = serde_ignored::deserialize(deserializer, |path| ignored.push(fault::ignored_path(&path)));
    match outcome {
        Ok(settings) => Ok((settings, ignored)),
        Err(error) => Err(Fault::from_serde(&track.path(), &error.to_string())),
    }
}
