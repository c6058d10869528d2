//! The objects, and the preconditions under which they change.

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;

/// An object. Objects are immutable: a write makes another generation.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) bytes: Bytes,
    pub(crate) generation: u64,
    pub(crate) modified: DateTime<Utc>,
}

/// Why nothing was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    NotFound,
    Precondition,
    TooManySources,
}

/// Google's limit for compose.
const MOST_SOURCES: usize = 32;

#[derive(Debug, Default)]
pub(crate) struct Objects {
    /// By bucket and name.
    all: BTreeMap<(String, String), Object>,
    generations: u64,
}

impl Objects {
    pub(crate) fn get(&self, bucket: &str, name: &str) -> Option<&Object> {
        self.all.get(&key(bucket, name))
    }

    pub(crate) fn put(&mut self, bucket: &str, name: &str, bytes: Bytes) -> Object {
        self.generations += 1;
        let object = Object { bytes, generation: self.generations, modified: Utc::now() };
        self.all.insert(key(bucket, name), object.clone());
        object
    }

    /// Writes if the present generation is this; 0 = if there is none.
    pub(crate) fn put_if(
        &mut self,
        bucket: &str,
        name: &str,
        bytes: Bytes,
        generation: Option<u64>,
    ) -> Result<Object, Refused> {
        let present = self.get(bucket, name).map_or(0, |object| object.generation);
        if generation.is_some_and(|wanted| wanted != present) {
            return Err(Refused::Precondition);
        }
        Ok(self.put(bucket, name, bytes))
    }

    pub(crate) fn compose(
        &mut self,
        bucket: &str,
        name: &str,
        sources: &[String],
        generation: Option<u64>,
    ) -> Result<Object, Refused> {
        if sources.is_empty() || sources.len() > MOST_SOURCES {
            return Err(Refused::TooManySources);
        }
        let mut bytes = BytesMut::new();
        for source in sources {
            bytes.extend_from_slice(&self.get(bucket, source).ok_or(Refused::NotFound)?.bytes);
        }
        self.put_if(bucket, name, bytes.freeze(), generation)
    }

    pub(crate) fn delete(&mut self, bucket: &str, name: &str) -> Result<(), Refused> {
        self.all.remove(&key(bucket, name)).map(drop).ok_or(Refused::NotFound)
    }

    pub(crate) fn names(&self, bucket: &str) -> Vec<String> {
        self.of(bucket).map(|(name, _)| name.to_owned()).collect()
    }

    /// A bucket's objects by name.
    pub(crate) fn of(&self, bucket: &str) -> impl Iterator<Item = (&str, &Object)> {
        let of_bucket = self.all.range(key(bucket, "")..).take_while(move |((of, _), _)| of == bucket);
        of_bucket.map(|((_, name), object)| (name.as_str(), object))
    }
}

fn key(bucket: &str, name: &str) -> (String, String) {
    (bucket.to_owned(), name.to_owned())
}
