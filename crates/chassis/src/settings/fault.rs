//! Where in the tree serde stopped, and why.

/// The first thing that is wrong.
#[derive(Debug)]
pub(super) struct Fault {
    /// Keys from the root; the place of an element in a list counts as a key.
    pub(super) path: Vec<String>,
    /// Serde's words; they may quote the value.
    pub(super) message: String,
    /// Whether it is the key that is wrong.
    pub(super) is_unknown_key: bool,
}

impl Fault {
    pub(super) fn unknown(path: Vec<String>) -> Self {
        Self { path, message: String::new(), is_unknown_key: true }
    }

    pub(super) fn from_serde(path: &serde_path_to_error::Path, message: &str) -> Self {
        use serde_path_to_error::Segment;
        let segments = path.iter().filter_map(|segment| match segment {
            Segment::Seq { index } => Some(index.to_string()),
            Segment::Map { key } => Some(key.clone()),
            Segment::Enum { variant } => Some(variant.clone()),
            Segment::Unknown => None,
        });
        let mut path: Vec<String> = segments.collect();
        let unknown = message.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`'));
        if let Some((name, _)) = unknown
            && path.last().is_none_or(|last| last != name)
        {
            path.push(name.to_owned());
        }
        Self { path, message: message.to_owned(), is_unknown_key: unknown.is_some() }
    }

    pub(super) fn general(message: String) -> Self {
        Self { path: Vec::new(), message, is_unknown_key: false }
    }
}

/// The keys of a path that serde ignored.
pub(super) fn ignored_path(path: &serde_ignored::Path<'_>) -> Vec<String> {
    use serde_ignored::Path;
    match path {
        Path::Root => Vec::new(),
        Path::Seq { parent, index } => join(parent, index.to_string()),
        Path::Map { parent, key } => join(parent, key.clone()),
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => {
            ignored_path(parent)
        }
    }
}

fn join(parent: &serde_ignored::Path<'_>, key: String) -> Vec<String> {
    let mut path = ignored_path(parent);
    path.push(key);
    path
}
