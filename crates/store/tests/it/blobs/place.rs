//! Where blobs may be, each new and empty.

use bucket::Bucket;
use store::Blobs;
use tempfile::TempDir;

/// One of them.
pub(crate) struct Place {
    pub(crate) blobs: Blobs,
    pub(crate) bucket: Option<Bucket>,
    _folder: Option<TempDir>,
}

/// Runs each scenario in each place.
macro_rules! everywhere {
    ($($scenario:ident),* $(,)?) => {
        everywhere!(@in in_a_folder, folder, $($scenario)*);
        everywhere!(@in in_memory, memory, $($scenario)*);
        everywhere!(@in in_a_bucket, bucket, $($scenario)*);
    };
    (@in $place:ident, $make:ident, $($scenario:ident)*) => {
        mod $place {
            $(#[tokio::test]
            async fn $scenario() {
                super::$scenario(super::Place::$make().await).await;
            })*
        }
    };
}
pub(crate) use everywhere;

impl Place {
    pub(crate) async fn folder() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(&format!("file://{}", folder.path().join("a folder").display())).unwrap();
        Self { blobs, bucket: None, _folder: Some(folder) }
    }

    pub(crate) async fn memory() -> Self {
        Self { blobs: Blobs::in_memory(), bucket: None, _folder: None }
    }

    pub(crate) async fn bucket() -> Self {
        let bucket = Bucket::start().await.unwrap();
        let blobs = Blobs::open_at("gs://blobs/a/prefix", Some(&bucket.endpoint())).unwrap();
        Self { blobs, bucket: Some(bucket), _folder: None }
    }

    /// Every object there, where that can be seen from outside.
    pub(crate) fn names(&self) -> Option<Vec<String>> {
        self.bucket.as_ref().map(|bucket| bucket.names("blobs"))
    }

    pub(crate) fn can_list(&self) -> bool {
        self.bucket.is_some()
    }
}
