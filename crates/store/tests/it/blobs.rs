//! Blobs in a local folder.

use bytes::Bytes;
use domain::Kind;
use futures::TryStreamExt;
use store::Blobs;
use tempfile::TempDir;

fn open() -> (TempDir, Blobs) {
    let folder = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(&format!("file://{}", folder.path().join("a folder").display())).unwrap();
    (folder, blobs)
}

#[tokio::test]
async fn a_blob_is_made_once() {
    let (_folder, blobs) = open();

    blobs.put_new("b/1.ok", Bytes::from_static(b"one")).await.unwrap();
    let error = blobs.put_new("b/1.ok", Bytes::from_static(b"two")).await.unwrap_err();

    assert_eq!(error.kind(), Kind::Conflict);
    assert_eq!(blobs.get("b/1.ok").await.unwrap(), "one");
    assert_eq!(blobs.range("b/1.ok", 1..3).await.unwrap(), "ne");
    assert_eq!(blobs.range("b/1.ok", 1..1).await.unwrap(), "");
}

#[tokio::test]
async fn a_written_blob_is_invisible_until_finished() {
    let (_folder, blobs) = open();
    let mut writer = blobs.writer("big");
    let part = Bytes::from(vec![7u8; 5 * 1024 * 1024]);
    for _ in 0..4 {
        writer.write(part.clone()).await.unwrap();
    }

    assert_eq!(blobs.size("big").await.unwrap(), None);
    let info = writer.finish().await.unwrap();

    let whole = blobs.get("big").await.unwrap();
    assert_eq!((info.bytes, whole.len()), (20 * 1024 * 1024, 20 * 1024 * 1024));
    assert_eq!(info.crc32c, crc32c::crc32c(&whole));
}

#[tokio::test]
async fn an_aborted_blob_never_was() {
    let (folder, blobs) = open();
    let mut writer = blobs.writer("big");
    writer.write(Bytes::from(vec![7u8; 9 * 1024 * 1024])).await.unwrap();

    writer.abort().await;

    assert_eq!(blobs.get("big").await.unwrap_err().kind(), Kind::NotFound);
    assert_eq!(std::fs::read_dir(folder.path().join("a folder")).unwrap().count(), 0);
}

#[tokio::test]
async fn sources_are_assembled_in_order() {
    let (_folder, blobs) = open();
    for (path, text) in [("s/1", "one\n"), ("s/2", "two\n"), ("s/3", "")] {
        blobs.put_new(path, Bytes::from(text)).await.unwrap();
    }

    let info = blobs.assemble("out", &["s/2".to_owned(), "s/3".to_owned(), "s/1".to_owned()]).await.unwrap();

    let parts: Vec<Bytes> = blobs.stream("out", None).await.unwrap().try_collect().await.unwrap();
    assert_eq!((parts.concat().as_slice(), info.bytes), (&b"two\none\n"[..], 8));
    let some: Vec<Bytes> = blobs.stream("out", Some(4..6)).await.unwrap().try_collect().await.unwrap();
    assert_eq!(some.concat(), b"on");
}

#[tokio::test]
async fn a_folder_is_cleared_of_all_but_what_is_kept() {
    let (_folder, blobs) = open();
    for path in ["b/1/s/x", "b/1/out/1", "b/1/out/2", "b/10/s/x"] {
        blobs.put_new(path, Bytes::from_static(b"x")).await.unwrap();
    }

    blobs.clear("b/1", vec!["b/1/out/2".to_owned()]).await.unwrap();
    blobs.clear("b/none", vec![]).await.unwrap();

    let mut left = Vec::new();
    for path in ["b/1/s/x", "b/1/out/1", "b/1/out/2", "b/10/s/x"] {
        left.push(blobs.size(path).await.unwrap().is_some());
    }
    assert_eq!(left, [false, false, true, true]);
}

#[tokio::test]
async fn deleting_twice_is_fine_and_a_ping_leaves_nothing() {
    let (_folder, blobs) = open();
    blobs.ping().await.unwrap();
    blobs.put_new("x", Bytes::new()).await.unwrap();

    blobs.delete("x").await.unwrap();
    blobs.delete("x").await.unwrap();

    assert_eq!(blobs.size("x").await.unwrap(), None);
}

#[tokio::test]
async fn other_places_are_refused_with_a_way_out() {
    for url in ["s3://bucket", "folder", ""] {
        assert!(Blobs::open(url).unwrap_err().message().contains("file:///"), "{url}");
    }
}
