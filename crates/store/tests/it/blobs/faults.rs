//! A bucket that does wrong: what was written is there, once and whole, or there is an error that says so.

use super::{MIB, place::Place, put};
use bucket::{Bucket, Fault, Harm};
use bytes::Bytes;
use domain::Kind;
use futures::TryStreamExt;
use http::{Method, StatusCode};
use std::time::Duration;
use store::{BlobInfo, Blobs, Source};

async fn open() -> (Bucket, Blobs) {
    let place = Place::bucket().await;
    (place.bucket.unwrap(), place.blobs)
}

/// 20 MiB that differ from each other.
async fn write_big(blobs: &Blobs) -> domain::Result<BlobInfo> {
    let mut writer = blobs.writer("big");
    for n in 0..20u8 {
        writer.write(Bytes::from(vec![n; MIB])).await?;
    }
    writer.finish().await
}

async fn big_is_whole(blobs: &Blobs) -> bool {
    let whole = blobs.get("big").await.unwrap();
    whole.len() == 20 * MIB && (0..20).all(|n| whole[n * MIB..(n + 1) * MIB].iter().all(|byte| *byte == n as u8))
}

#[tokio::test]
async fn a_large_blob_is_composed_and_leaves_no_parts() {
    let (bucket, blobs) = open().await;

    write_big(&blobs).await.unwrap();

    assert!(big_is_whole(&blobs).await);
    assert_eq!(bucket.composed(), 1);
    assert_eq!(bucket.names("blobs"), ["a/prefix/big"]);
}

#[tokio::test]
async fn sources_are_not_moved() {
    let (bucket, blobs) = open().await;
    let mut sources = Vec::new();
    for n in 0..40 {
        sources.push(put(&blobs, &format!("s/{n}"), &format!("{n}\n")).await);
    }
    bucket.arm(Fault::of(Harm::Refuse(StatusCode::FORBIDDEN), Method::GET).at("/blobs/"));
    bucket.arm(Fault::of(Harm::Refuse(StatusCode::FORBIDDEN), Method::PUT));

    blobs.assemble("out", &sources).await.unwrap();

    // Two of the first level, and the top; nothing was read or written, but for the nodes that go.
    assert_eq!((bucket.composed(), bucket.names("blobs").len()), (3, 41));
}

#[tokio::test]
async fn an_answer_that_is_lost_changes_nothing() {
    for method in [Method::PUT, Method::POST] {
        let (bucket, blobs) = open().await;
        bucket.arm(Fault::of(Harm::LoseAnswer, method).times(2));

        let info = write_big(&blobs).await.unwrap();

        assert_eq!((info.bytes, bucket.harmed() > 0), (20 * MIB as u64, true));
        assert!(big_is_whole(&blobs).await);
    }
}

#[tokio::test]
async fn a_store_that_fails_for_a_while_is_waited_for() {
    for method in [Method::PUT, Method::POST] {
        let (bucket, blobs) = open().await;
        bucket.arm(Fault::of(Harm::Refuse(StatusCode::SERVICE_UNAVAILABLE), method).times(4));

        write_big(&blobs).await.unwrap();

        assert!(big_is_whole(&blobs).await);
    }
}

#[tokio::test]
async fn a_torn_write_is_repaired() {
    let (bucket, blobs) = open().await;
    bucket.arm(Fault::of(Harm::Tear, Method::PUT).every(2));

    write_big(&blobs).await.unwrap();
    blobs.put_once("small", Bytes::from_static(b"a segment")).await.unwrap();

    assert!(bucket.harmed() > 0);
    assert!(big_is_whole(&blobs).await);
    assert_eq!(blobs.get("small").await.unwrap(), "a segment");
}

#[tokio::test]
async fn a_read_that_breaks_off_is_taken_up() {
    let (bucket, blobs) = open().await;
    write_big(&blobs).await.unwrap();
    bucket.arm(Fault::of(Harm::BreakOff, Method::GET).times(3));

    let read: Vec<Bytes> = blobs.stream("big", None).await.unwrap().try_collect().await.unwrap();

    assert_eq!(BlobInfo::of(&read.concat()), BlobInfo::of(&blobs.get("big").await.unwrap()));
    assert!(bucket.harmed() > 0);
}

#[tokio::test]
async fn a_slow_store_is_no_error() {
    let (bucket, blobs) = open().await;
    bucket.arm(Fault::of(Harm::Slow(Duration::from_millis(300)), Method::PUT).times(2));

    blobs.put_once("small", Bytes::from_static(b"x")).await.unwrap();

    assert_eq!(bucket.harmed(), 1);
}

#[tokio::test]
async fn a_name_that_somebody_else_took_is_a_conflict() {
    let (bucket, blobs) = open().await;
    bucket.put("blobs", "a/prefix/big", "theirs");

    let error = write_big(&blobs).await.unwrap_err();

    assert_eq!(error.kind(), Kind::Conflict);
    assert_eq!(bucket.names("blobs"), ["a/prefix/big"], "nothing stays behind");
}

#[tokio::test]
async fn a_precondition_that_fails_for_no_reason_is_an_error() {
    let (bucket, blobs) = open().await;
    bucket.arm(Fault::of(Harm::Refuse(StatusCode::PRECONDITION_FAILED), Method::POST));

    let error = write_big(&blobs).await.unwrap_err();

    assert_eq!(error.kind(), Kind::Conflict);
    assert_eq!(bucket.names("blobs"), Vec::<String>::new());
}

#[tokio::test]
async fn a_source_that_is_gone_is_named_in_the_log_only() {
    let (_bucket, blobs) = open().await;
    let lost = Source { path: "s/lost".to_owned(), info: BlobInfo::of(b"x") };

    let error = blobs.assemble("out", &[lost]).await.unwrap_err();

    assert_eq!(error.kind(), Kind::NotFound);
    assert!(!error.message().contains("lost"));
}
