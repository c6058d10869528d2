//! No webhook reaches what only the platform can reach.

use crate::{
    receiver::Receiver,
    site::{Site, allow, settings},
};
use domain::{AttemptOutcome, DeliveryStatus};
use http::Response;
use http_body_util::Full;
use parking_lot::Mutex;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};
use webhooks::WebhooksSettings;

/// Says something else each time: the last address again and again.
struct Fickle(Mutex<Vec<&'static [&'static str]>>);

impl Fickle {
    /// Addresses in the order in which they are told.
    fn new(told: &[&'static [&'static str]]) -> Arc<Self> {
        Arc::new(Self(Mutex::new(told.iter().rev().copied().collect())))
    }
}

impl Resolve for Fickle {
    fn resolve(&self, _: Name) -> Resolving {
        let mut left = self.0.lock();
        let told = if left.len() > 1 { left.pop().unwrap() } else { left[0] };
        let addresses: Vec<_> = told.iter().map(|text| SocketAddr::new(text.parse::<IpAddr>().unwrap(), 0)).collect();
        Box::pin(async move { Ok(Box::new(addresses.into_iter()) as Addrs) })
    }
}

/// 127.0.0.2 stands for what is public, everything else is inside. A connection is used once, so that each attempt looks up.
fn only_one_address() -> WebhooksSettings {
    WebhooksSettings { allow: allow(&["127.0.0.2"]), retries_secs: vec![0], ..settings() }
}

fn closing(status: u16) -> Response<Full<bytes::Bytes>> {
    Response::builder().status(status).header("connection", "close").body(Full::default()).unwrap()
}

#[tokio::test]
async fn a_name_that_is_rebound_after_it_was_judged_gains_nothing() {
    let (site, receiver) = (Site::new(only_one_address()).await, Receiver::start(|_| Some(closing(500))).await);
    let (webhook, _) = site.webhook(&format!("http://rebind.example:{}/", receiver.port)).await;
    let _running = site.run_with_names(Fickle::new(&[&["127.0.0.2"], &["127.0.0.1"]]));

    let delivery = site.tried(&webhook, 2).await;

    let outcomes: Vec<_> = delivery.attempts.iter().map(|attempt| attempt.outcome).collect();
    assert_eq!(outcomes, [AttemptOutcome::Refused, AttemptOutcome::Forbidden]);
    let got = receiver.got();
    assert_eq!((got.len(), got[0].at), (1, "127.0.0.2".parse::<IpAddr>().unwrap()));
    assert!(!delivery.attempts[1].detail.contains("127."), "{}", delivery.attempts[1].detail);
}

#[tokio::test]
async fn a_name_with_one_address_inside_is_not_connected_to() {
    let (site, receiver) = (Site::new(only_one_address()).await, Receiver::friendly().await);
    let (webhook, _) = site.webhook(&format!("http://both.example:{}/", receiver.port)).await;
    let _running = site.run_with_names(Fickle::new(&[&["127.0.0.2", "::ffff:127.0.0.1"]]));

    let delivery = site.tried(&webhook, 9).await;

    assert_eq!(delivery.status, DeliveryStatus::Failed);
    assert!(delivery.attempts.iter().all(|attempt| attempt.outcome == AttemptOutcome::Forbidden));
    assert!(receiver.got().is_empty());
}

#[tokio::test]
async fn an_address_that_is_no_longer_allowed_is_not_connected_to() {
    let (site, receiver) = (Site::new(only_one_address()).await, Receiver::friendly().await);
    let (webhook, _) = site.webhook(&receiver.url()).await;
    let _running = site.run();

    let delivery = site.tried(&webhook, 1).await;

    assert_eq!(delivery.attempts[0].outcome, AttemptOutcome::Forbidden);
    assert!(receiver.got().is_empty());
}

#[tokio::test]
async fn a_redirect_leads_nowhere() {
    let inside = Receiver::friendly().await;
    let location = inside.url();
    let redirect = move |_| {
        let response = Response::builder().status(307).header("location", location.as_str());
        Some(response.body(Full::default()).unwrap())
    };
    let (site, receiver) = (Site::new(settings()).await, Receiver::start(redirect).await);
    let (webhook, _) = site.webhook(&receiver.url()).await;
    let _running = site.run();

    let delivery = site.tried(&webhook, 1).await;

    let attempt = &delivery.attempts[0];
    assert_eq!((attempt.outcome, attempt.http_status), (AttemptOutcome::Refused, Some(307)));
    assert!(inside.got().is_empty());
}

#[tokio::test]
async fn an_allowed_host_may_be_inside() {
    let allowed = WebhooksSettings { allow: allow(&["hooks.internal"]), ..settings() };
    let (site, receiver) = (Site::new(allowed).await, Receiver::friendly().await);
    let (webhook, _) = site.webhook(&format!("http://hooks.internal:{}/", receiver.port)).await;
    let _running = site.run_with_names(Fickle::new(&[&["127.0.0.1"]]));

    let delivery = site.tried(&webhook, 1).await;

    assert_eq!(delivery.status, DeliveryStatus::Delivered);
}
