//! Trees of settings between `serde_json`, which keeps types as they are, and `config`, which merges.

use config::{ConfigError, Map as ConfigMap, Source, Value as ConfigValue, ValueKind};
use serde_json::{Number, Value};

/// One source of settings as `config` takes it.
#[derive(Debug, Clone)]
pub(super) struct Layer(ConfigMap<String, ConfigValue>);

impl Layer {
    pub(super) fn new(tree: &Value) -> Self {
        let keys = tree.as_object().into_iter().flatten();
        Self(keys.map(|(key, value)| (key.clone(), to_config(value))).collect())
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<ConfigMap<String, ConfigValue>, ConfigError> {
        Ok(self.0.clone())
    }
}

fn to_config(value: &Value) -> ConfigValue {
    let kind = match value {
        Value::Null => ValueKind::Nil,
        Value::Bool(truth) => ValueKind::Boolean(*truth),
        Value::Number(number) => number_to_config(number),
        Value::String(text) => ValueKind::String(text.clone()),
        Value::Array(items) => ValueKind::Array(items.iter().map(to_config).collect()),
        Value::Object(_) => ValueKind::Table(Layer::new(value).0),
    };
    ConfigValue::new(None, kind)
}

fn number_to_config(number: &Number) -> ValueKind {
    match (number.as_i64(), number.as_u64()) {
        (Some(whole), _) => ValueKind::I64(whole),
        (None, Some(whole)) => ValueKind::U64(whole),
        (None, None) => number.as_f64().map_or(ValueKind::Nil, ValueKind::Float),
    }
}

pub(super) fn from_config(kind: ValueKind) -> Value {
    match kind {
        ValueKind::Nil => Value::Null,
        ValueKind::Boolean(truth) => truth.into(),
        ValueKind::I64(whole) => whole.into(),
        ValueKind::U64(whole) => whole.into(),
        ValueKind::I128(whole) => whole.to_string().into(),
        ValueKind::U128(whole) => whole.to_string().into(),
        ValueKind::Float(fraction) => fraction.into(),
        ValueKind::String(text) => text.into(),
        ValueKind::Array(items) => items.into_iter().map(|item| from_config(item.kind)).collect(),
        ValueKind::Table(keys) => {
            Value::Object(keys.into_iter().map(|(key, value)| (key, from_config(value.kind))).collect())
        }
    }
}

/// What `path` leads to.
pub(super) fn place<'a>(tree: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(tree, |place, key| match place {
        Value::Object(keys) => keys.get(key),
        Value::Array(items) => items.get(key.parse::<usize>().ok()?),
        _ => None,
    })
}

/// What `path` leads to, to be changed.
pub(super) fn place_mut<'a>(tree: &'a mut Value, path: &[String]) -> Option<&'a mut Value> {
    path.iter().try_fold(tree, |place, key| place.as_object_mut()?.get_mut(key))
}
