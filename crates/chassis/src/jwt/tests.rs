//! Tokens of an issuer on this machine, good ones and others.

use super::{Algorithm, Trust, Verifier, claims::claimed_issuer};
use aws_lc_rs::{rand::SystemRandom, signature::Ed25519KeyPair};
use axum::{Json, Router, extract::State, routing::get};
use domain::Kind;
use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp, jwk::Jwk};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

struct Issuer {
    url: String,
    keys: Mutex<Vec<Value>>,
    readings: AtomicUsize,
}

impl Issuer {
    async fn start() -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let issuer = Arc::new(Self { url, keys: Mutex::default(), readings: AtomicUsize::new(0) });
        let routes = Router::new()
            .route("/.well-known/openid-configuration", get(document))
            .route("/jwks", get(jwks))
            .with_state(Arc::clone(&issuer));
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        issuer
    }

    /// Publishes a new key.
    fn publish(&self, kid: &str) -> EncodingKey {
        let key = EncodingKey::from_ed_der(Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).unwrap().as_ref());
        let mut jwk = Jwk::from_encoding_key(&key, jsonwebtoken::Algorithm::EdDSA).unwrap();
        jwk.common.key_id = Some(kid.to_owned());
        self.keys.lock().unwrap().push(serde_json::to_value(jwk).unwrap());
        key
    }

    fn verifier(&self, min_interval: Duration) -> Verifier {
        Verifier::new(Trust {
            issuer: self.url.clone().try_into().unwrap(),
            audiences: vec!["api".to_owned()],
            algorithms: vec![Algorithm::EdDSA, Algorithm::RS256],
            leeway: Duration::ZERO,
            refresh: Duration::from_secs(600),
            min_interval,
        })
    }

    fn claims(&self) -> Value {
        json!({"iss": self.url, "aud": "api", "sub": "me", "exp": get_current_timestamp() + 60})
    }
}

async fn document(State(issuer): State<Arc<Issuer>>) -> Json<Value> {
    Json(json!({"issuer": issuer.url, "jwks_uri": format!("{}/jwks", issuer.url)}))
}

async fn jwks(State(issuer): State<Arc<Issuer>>) -> Json<Value> {
    issuer.readings.fetch_add(1, Ordering::SeqCst);
    let mut keys = issuer.keys.lock().unwrap().clone();
    keys.push(json!({"kty": "oct", "kid": "shared", "k": "c2VjcmV0", "alg": "HS256"}));
    keys.push(json!({"kty": "unheard of"}));
    Json(json!({"keys": keys}))
}

fn header(kid: &str) -> Header {
    Header { kid: Some(kid.to_owned()), ..Header::new(jsonwebtoken::Algorithm::EdDSA) }
}

const LONG: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn a_token_of_the_issuer_is_believed() {
    let issuer = Issuer::start().await;
    let key = issuer.publish("k");
    let verifier = issuer.verifier(LONG);
    let token = encode(&header("k"), &issuer.claims(), &key).unwrap();

    let claims = verifier.verify(&token).await.unwrap();

    assert_eq!(claims.text("sub"), Some("me"));
    assert_eq!(claimed_issuer(&token), Some(issuer.url.clone()));
}

#[tokio::test]
async fn a_claim_that_does_not_hold_is_refused() {
    let issuer = Issuer::start().await;
    let key = issuer.publish("k");
    let verifier = issuer.verifier(LONG);
    let now = get_current_timestamp();
    for (name, value) in [
        ("iss", json!("https://evil.example")),
        ("iss", json!([issuer.url, "https://evil.example"])),
        ("iss", Value::Null),
        ("aud", json!("other")),
        ("aud", Value::Null),
        ("exp", json!(now - 1)),
        ("exp", json!("tomorrow")),
        ("exp", Value::Null),
        ("nbf", json!(now + 30)),
        ("nbf", json!("tomorrow")),
        ("sub", Value::Null),
    ] {
        let mut claims = issuer.claims();
        claims[name] = value.clone();

        let error = verifier.verify(&encode(&header("k"), &claims, &key).unwrap()).await.unwrap_err();

        assert_eq!((error.kind(), error.code()), (Kind::Unauthenticated, Some("invalid_token")), "{name} {value}");
    }
}

#[tokio::test]
async fn a_header_that_asks_for_more_is_refused() {
    let issuer = Issuer::start().await;
    let key = issuer.publish("k");
    let verifier = issuer.verifier(LONG);
    for header in [
        Header { typ: Some("logout+jwt".to_owned()), ..header("k") },
        Header { crit: Some(vec!["exp".to_owned()]), ..header("k") },
        Header { kid: None, ..header("k") },
        header(""),
        header(&"k".repeat(10_000)),
        header("shared"),
    ] {
        let token = encode(&header, &issuer.claims(), &key).unwrap();

        assert_eq!(verifier.verify(&token).await.unwrap_err().kind(), Kind::Unauthenticated, "{header:?}");
    }
}

#[tokio::test]
async fn a_signature_by_another_key_is_refused() {
    let issuer = Issuer::start().await;
    issuer.publish("k");
    let other = Issuer::start().await.publish("k");
    let jwk = Jwk::from_encoding_key(&other, jsonwebtoken::Algorithm::EdDSA).unwrap();
    let header = Header { jwk: Some(jwk), jku: Some("http://127.0.0.1:1/jwks".to_owned()), ..header("k") };

    let refused = issuer.verifier(LONG).verify(&encode(&header, &issuer.claims(), &other).unwrap()).await;

    assert!(refused.unwrap_err().to_string().contains("signature"));
}

#[tokio::test]
async fn a_secret_shared_by_the_issuer_signs_nothing() {
    let issuer = Issuer::start().await;
    let header = Header { kid: Some("shared".to_owned()), ..Header::new(jsonwebtoken::Algorithm::HS256) };
    let token = encode(&header, &issuer.claims(), &EncodingKey::from_secret(b"secret")).unwrap();

    assert!(issuer.verifier(LONG).verify(&token).await.is_err());
    assert_eq!(issuer.readings.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn made_up_keys_cost_one_reading_an_interval() {
    let issuer = Issuer::start().await;
    let key = issuer.publish("k");
    let verifier = issuer.verifier(LONG);
    let flood = (0..500).map(|n| encode(&header(&format!("k{n}")), &issuer.claims(), &key).unwrap());

    let answers = futures::future::join_all(flood.map(|token| {
        let verifier = &verifier;
        async move { verifier.verify(&token).await.is_err() }
    }));

    assert!(answers.await.into_iter().all(|refused| refused));
    assert_eq!(issuer.readings.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_new_key_of_the_issuer_is_found() {
    let issuer = Issuer::start().await;
    let old = issuer.publish("old");
    let verifier = issuer.verifier(Duration::ZERO);
    verifier.verify(&encode(&header("old"), &issuer.claims(), &old).unwrap()).await.unwrap();

    issuer.keys.lock().unwrap().clear();
    let new = issuer.publish("new");

    verifier.verify(&encode(&header("new"), &issuer.claims(), &new).unwrap()).await.unwrap();
    assert!(verifier.verify(&encode(&header("old"), &issuer.claims(), &old).unwrap()).await.is_err());
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_is_not_the_callers_fault() {
    let issuer = Issuer::start().await;
    let key = issuer.publish("k");
    let trust = Trust { issuer: "http://127.0.0.1:1".to_owned().try_into().unwrap(), ..issuer.verifier(LONG).trust };
    let verifier = Verifier::new(trust);

    for _ in 0..2 {
        let error = verifier.verify(&encode(&header("k"), &issuer.claims(), &key).unwrap()).await.unwrap_err();

        assert_eq!(error.kind(), Kind::Unavailable);
    }
}
