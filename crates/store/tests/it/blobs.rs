//! Blobs: every scenario runs, with the same assertions, in a folder, in memory and in a bucket of the stand-in.

mod faults;
mod place;

use bytes::Bytes;
use domain::Kind;
use futures::TryStreamExt;
use place::{Place, everywhere};
use std::time::Duration;
use store::{BlobInfo, Blobs, Source};

const MIB: usize = 1024 * 1024;

everywhere! {
    a_blob_is_made_once,
    the_same_bytes_may_be_written_twice,
    a_written_blob_is_invisible_until_finished,
    an_aborted_blob_never_was,
    a_taken_name_is_never_overwritten,
    sources_are_assembled_in_order,
    bytes_and_sources_make_one_blob,
    a_source_that_is_not_what_it_was_is_found_out,
    a_folder_is_cleared_of_all_but_what_is_kept,
    deleting_twice_is_fine_and_a_ping_leaves_nothing,
    what_unfinished_writing_left_is_swept,
    a_large_blob_is_read_in_order,
}

async fn a_blob_is_made_once(Place { blobs, .. }: Place) {
    blobs.put_new("b/1.ok", Bytes::from_static(b"one")).await.unwrap();
    let error = blobs.put_new("b/1.ok", Bytes::from_static(b"two")).await.unwrap_err();

    assert_eq!(error.kind(), Kind::Conflict);
    assert_eq!(blobs.get("b/1.ok").await.unwrap(), "one");
    assert_eq!(blobs.range("b/1.ok", 1..3).await.unwrap(), "ne");
    assert_eq!(blobs.range("b/1.ok", 1..1).await.unwrap(), "");
    assert_eq!(blobs.get("b/2.ok").await.unwrap_err().kind(), Kind::NotFound);
}

async fn the_same_bytes_may_be_written_twice(Place { blobs, .. }: Place) {
    for _ in 0..2 {
        blobs.put_once("b/1.ok", Bytes::from_static(b"one")).await.unwrap();
    }

    assert_eq!(blobs.get("b/1.ok").await.unwrap(), "one");
}

async fn a_written_blob_is_invisible_until_finished(Place { blobs, .. }: Place) {
    let mut writer = blobs.writer("big");
    let part = Bytes::from(vec![7u8; 5 * MIB]);
    for _ in 0..4 {
        writer.write(part.clone()).await.unwrap();
    }

    assert_eq!(blobs.size("big").await.unwrap(), None);
    let info = writer.finish().await.unwrap();

    let whole = blobs.get("big").await.unwrap();
    assert_eq!(info, BlobInfo::of(&whole));
    assert_eq!((whole.len(), blobs.size("big").await.unwrap()), (20 * MIB, Some(20 * MIB as u64)));
}

async fn an_aborted_blob_never_was(place: Place) {
    let mut writer = place.blobs.writer("big");
    writer.write(Bytes::from(vec![7u8; 9 * MIB])).await.unwrap();

    writer.abort().await;

    assert_eq!(place.blobs.get("big").await.unwrap_err().kind(), Kind::NotFound);
    assert_eq!(place.names(), Some(vec![]).filter(|_| place.can_list()));
}

async fn a_taken_name_is_never_overwritten(place: Place) {
    for length in [3, 9 * MIB] {
        let name = format!("taken/{length}");
        place.blobs.put_new(&name, Bytes::from_static(b"first")).await.unwrap();
        let mut writer = place.blobs.writer(&name);
        writer.write(Bytes::from(vec![7u8; length])).await.unwrap();

        let error = writer.finish().await.map(drop);

        // What is small enough for one request replaces what a torn write may have left under a name of its own.
        if length > MIB {
            assert_eq!(error.unwrap_err().kind(), Kind::Conflict);
            assert_eq!(place.blobs.get(&name).await.unwrap(), "first");
        }
    }
}

async fn sources_are_assembled_in_order(Place { blobs, .. }: Place) {
    // More than one call of Google's takes, and a second level of them. A folder waits for the disk with each.
    let count = if blobs.can_compose() { 1_100 } else { 40 };
    let texts: Vec<_> = (0..count).map(|n| if n % 7 == 3 { String::new() } else { format!("piece {n}\n") }).collect();
    let mut sources = Vec::new();
    for (n, text) in texts.iter().enumerate() {
        sources.push(put(&blobs, &format!("s/{n}"), text).await);
    }

    let info = blobs.assemble("out", &sources).await.unwrap();

    let whole = texts.concat();
    assert_eq!(blobs.get("out").await.unwrap(), whole);
    assert_eq!(info, BlobInfo::of(whole.as_bytes()));
    let some: Vec<Bytes> = blobs.stream("out", Some(4..6)).await.unwrap().try_collect().await.unwrap();
    assert_eq!(some.concat(), &whole.as_bytes()[4..6]);
    assert_eq!(blobs.get("s/0").await.unwrap(), texts[0], "sources stay");
}

async fn bytes_and_sources_make_one_blob(Place { blobs, .. }: Place) {
    let source = put(&blobs, "s", "source;").await;
    let mut writer = blobs.writer("out");

    writer.write(Bytes::from_static(b"bytes;")).await.unwrap();
    writer.append(&source).await.unwrap();
    writer.append(&source).await.unwrap();
    writer.write(Bytes::from_static(b"end")).await.unwrap();
    let info = writer.finish().await.unwrap();

    assert_eq!(blobs.get("out").await.unwrap(), "bytes;source;source;end");
    assert_eq!(info, BlobInfo::of(b"bytes;source;source;end"));
}

async fn a_source_that_is_not_what_it_was_is_found_out(Place { blobs, .. }: Place) {
    let sound = put(&blobs, "sound", "sound").await;
    let changed = Source { info: BlobInfo::of(b"other"), ..put(&blobs, "changed", "bytes").await };

    let error = blobs.assemble("out", &[sound, changed]).await.unwrap_err();

    assert_eq!(error.kind(), Kind::Internal);
}

async fn a_folder_is_cleared_of_all_but_what_is_kept(Place { blobs, .. }: Place) {
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

async fn deleting_twice_is_fine_and_a_ping_leaves_nothing(Place { blobs, .. }: Place) {
    blobs.ping().await.unwrap();
    blobs.put_new("x", Bytes::new()).await.unwrap();

    blobs.delete("x").await.unwrap();
    blobs.delete("x").await.unwrap();

    assert_eq!(blobs.size("x").await.unwrap(), None);
}

async fn what_unfinished_writing_left_is_swept(Place { blobs, .. }: Place) {
    blobs.put_new("tmp/1/part-0", Bytes::from_static(b"left")).await.unwrap();
    blobs.put_new("b/1", Bytes::from_static(b"stays")).await.unwrap();

    blobs.clear_scratch(Duration::from_secs(3_600)).await.unwrap();
    let is_young = blobs.size("tmp/1/part-0").await.unwrap().is_some();
    blobs.clear_scratch(Duration::ZERO).await.unwrap();

    assert!(is_young, "it may still be at work");
    assert_eq!(blobs.size("tmp/1/part-0").await.unwrap(), None);
    assert_eq!(blobs.size("b/1").await.unwrap(), Some(5));
}

async fn a_large_blob_is_read_in_order(Place { blobs, .. }: Place) {
    let bytes: Vec<u8> = (0..9 * MIB).map(|n| (n / 1024) as u8).collect();
    let mut writer = blobs.writer("big");
    writer.write(Bytes::from(bytes.clone())).await.unwrap();
    writer.finish().await.unwrap();

    let read: Vec<Bytes> = blobs.stream("big", None).await.unwrap().try_collect().await.unwrap();

    assert!(read.concat() == bytes);
}

#[tokio::test]
async fn other_places_are_refused_with_a_way_out() {
    for url in ["s3://bucket", "folder", ""] {
        assert!(Blobs::open(url).unwrap_err().message().contains("file:///"), "{url}");
    }
    assert!(Blobs::open_at("gs://b/p", Some("ftp://x")).unwrap_err().message().contains("http://host:port"));
}

/// Writes a small blob to be a source.
async fn put(blobs: &Blobs, path: &str, text: &str) -> Source {
    blobs.put_new(path, Bytes::from(text.to_owned())).await.unwrap();
    Source { path: path.to_owned(), info: BlobInfo::of(text.as_bytes()) }
}
