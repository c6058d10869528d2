//! An issuer of tokens on this machine, as OpenID Connect has them.

use crate::served::{Answer, Answers, Served};
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming};
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

const AUDIENCE: &str = "https://tandem.example";

/// Signs tokens that a gateway with [`Issuer::settings`] believes.
pub struct Issuer {
    served: Served,
    key: Arc<Published>,
}

struct Published {
    url: String,
    key: Ed25519KeyPair,
}

impl Issuer {
    /// A claim of every token that is nobody's business.
    pub const CLAIM: &str = "canary-claim-e70b";

    /// An issuer with one key.
    pub async fn start() -> Self {
        let document = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).expect("a key");
        let key = Ed25519KeyPair::from_pkcs8(document.as_ref()).expect("the same key");
        let (served, key) = Served::new(|url| Arc::new(Published { url: url.to_owned(), key })).await;
        Self { served, key }
    }

    /// Makes every token of this issuer a principal of `tenant` that may ask models.
    #[must_use]
    pub fn settings(&self, tenant: &str) -> String {
        format!(
            "[[gateway.identity.issuers]]\nname = \"company\"\nurl = \"{}\"\naudiences = [\"{AUDIENCE}\"]\nleeway_secs = 0\n\
             [[gateway.identity.issuers.rules]]\nmatch = [{{ claim = \"aud\", equals = \"{AUDIENCE}\" }}]\n\
             tenant = \"{tenant}\"\nscopes = \"inference\"\n",
            self.served.url
        )
    }

    /// A token that ends `secs` from now.
    #[must_use]
    pub fn token(&self, subject: &str, secs: i64) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let header = json!({"alg": "EdDSA", "typ": "JWT", "kid": "k"});
        let claims = json!({"iss": self.served.url, "aud": AUDIENCE, "sub": subject, "iat": now - 7200,
                            "exp": now.saturating_add_signed(secs), "note": Self::CLAIM});
        let signed = format!("{}.{}", encoded(&header), encoded(&claims));
        let signature = URL_SAFE_NO_PAD.encode(self.key.key.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}

impl Answers for Published {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Answer {
        let document = if request.uri().path() == "/jwks" {
            let x = URL_SAFE_NO_PAD.encode(self.key.public_key().as_ref());
            json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": "k", "x": x}]})
        } else {
            json!({"issuer": self.url, "jwks_uri": format!("{}/jwks", self.url)})
        };
        let answer = Response::new(Full::from(document.to_string()).boxed());
        let (mut parts, body) = answer.into_parts();
        parts.headers.insert("content-type", "application/json".parse().expect("a header's value"));
        Response::from_parts(parts, body)
    }
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}
