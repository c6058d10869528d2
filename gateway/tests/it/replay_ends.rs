//! How requests with an `Idempotency-Key` end that take long, grow large, lose their client or their process.

use crate::{
    app::{Answer, TestApp},
    model::Script,
    replay::{EVENTS, NUMBERED, calls, gated, plain, post, request, streamed},
};
use gateway::ReplaySettings;
use http::StatusCode;
use http_body_util::BodyExt;
use std::{sync::Arc, time::Duration};

const TOO_LARGE: &str = "idempotent_outcome_too_large";

/// A good answer to the same request, once the key is free; the tries before it may meet the one that is ending.
async fn answered_anew(app: &TestApp) -> Answer {
    loop {
        let answer = app.try_send(request(app, "k", &streamed(), None)).await;
        if let Some(answer) = answer.ok().filter(|answer| answer.status == StatusCode::OK) {
            return answer;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_request_that_runs_longer_than_its_lease_stays_the_only_one() {
    let (gate, script) = gated();
    let replay = || ReplaySettings { lease_ms: 900, ..ReplaySettings::default() };
    let one = TestApp::with_replay(script.clone(), replay()).await;
    let two = one.beside_with(script.clone(), replay());

    let long_after = async {
        let begun = one.store.now_ms().await.unwrap();
        while one.store.now_ms().await.unwrap() < begun + 2_000 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        gate.add_permits(2);
    };
    let (first, second, ()) = tokio::join!(post(&one, "k", plain()), post(&two, "k", plain()), long_after);

    assert_eq!((first.status, &first.body), (StatusCode::OK, &second.body));
    assert_eq!(calls(&script), 1);
}

#[tokio::test]
async fn a_request_that_a_drain_cuts_releases_its_key() {
    let (_gate, script) = gated();
    let app = TestApp::with(script.clone()).await;
    let background = tokio::spawn(Arc::clone(&app.gateway).run_background(app.drain.clone()));

    let cut = async {
        while calls(&script) == 0 {
            tokio::task::yield_now().await;
        }
        app.drain.begin();
    };
    let (cut, ()) = tokio::join!(post(&app, "k", plain()), cut);
    background.await.unwrap().unwrap();
    let whole = post(&app.beside(Script::default()), "k", plain()).await;

    assert_eq!((cut.status, &cut.error()["code"]), (StatusCode::SERVICE_UNAVAILABLE, &"server_draining".into()));
    assert_eq!((whole.status, whole.header("idempotent-replayed")), (StatusCode::OK, ""));
}

#[tokio::test]
async fn what_running_requests_may_hold_together_bounds_each_and_comes_back() {
    let script = Script { events: EVENTS.to_vec(), hangs: true, ..Script::default() };
    let all = NUMBERED.concat();
    let replay = ReplaySettings { max_running_bytes: all.len() + 5, grace_secs: 0, ..ReplaySettings::default() };
    let app = TestApp::with_replay(script, replay).await;
    let mut holds = app.open(request(&app, "holds", &streamed(), None)).await.into_body();
    let mut held = 0;
    while held < all.len() {
        held += holds.frame().await.unwrap().unwrap().into_data().unwrap().len();
    }

    let mut late = app.open(request(&app, "k", &streamed(), None)).await.into_body();
    let read = late.frame().await.unwrap().unwrap().into_data().unwrap();
    let joins = app.send(request(&app, "k", &streamed(), None)).await;
    let (first, again) = (post(&app, "small", plain()).await, post(&app, "small", plain()).await);
    drop((holds, late));

    assert!(read.starts_with(NUMBERED[0].as_bytes()), "its own client notices nothing");
    for refused in [joins, again] {
        assert_eq!((refused.status, &refused.error()["code"]), (StatusCode::CONFLICT, &TOO_LARGE.into()));
    }
    assert_eq!(first.status, StatusCode::OK);
    for n in 0.. {
        post(&app, &format!("later-{n}"), plain()).await;
        if post(&app, &format!("later-{n}"), plain()).await.status == StatusCode::OK {
            break;
        }
    }
}

#[tokio::test]
async fn a_call_whose_client_does_not_come_back_in_time_is_given_up() {
    let (gate, script) = gated();
    let script = Script { events: EVENTS[..1].to_vec(), late: EVENTS[1..].to_vec(), ..script };
    let replay = ReplaySettings { grace_secs: 1, ..ReplaySettings::default() };
    let app = TestApp::with_replay(script.clone(), replay).await;
    let idle = Arc::strong_count(&gate);
    let mut client = app.open(request(&app, "k", &streamed(), None)).await.into_body();
    client.frame().await.unwrap().unwrap();
    assert!(Arc::strong_count(&gate) > idle, "the call runs");

    drop(client);
    while Arc::strong_count(&gate) > idle {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let anew = answered_anew(&app.beside(Script { events: EVENTS.to_vec(), ..Script::default() })).await;

    assert_eq!((anew.header("idempotent-replayed"), &anew.body[..]), ("", NUMBERED.concat().as_bytes()));
}
