use super::*;
use proptest::prelude::*;
use serde_json::json;

fn google() -> Vec<Rule> {
    serde_json::from_value(json!([
        {"match": [{"claim": "email", "equals": "ci@acme.iam"}], "tenant": "acme", "scopes": "batches", "models": ["m"]},
        {"match": [{"claim": "email", "ends_with": "@acme.iam"}], "tenant": "acme", "scopes": "inference"},
        {"match": [{"claim": "hd", "one_of": ["a.example", "b.example"]}], "tenant_claim": "hd", "scopes": "usage"},
    ]))
    .unwrap()
}

fn by_google<'a>(rules: &'a [Rule], claims: &'a Claims) -> Result<Grant<'a>> {
    grant("google", "email", rules, claims)
}

fn claims(json: Value) -> Claims {
    serde_json::from_value(json).unwrap()
}

#[test]
fn the_first_rule_that_fits_decides() {
    let rules = google();
    let ci = claims(json!({"email": "ci@acme.iam", "email_verified": true, "hd": "a.example"}));
    let other = claims(json!({"email": "x@acme.iam", "email_verified": true}));
    let person = claims(json!({"email": "p@b.example", "email_verified": true, "hd": "b.example"}));

    let granted = by_google(&rules, &ci).unwrap();

    assert_eq!((granted.tenant, granted.principal.as_str()), ("acme", "google:ci@acme.iam"));
    assert_eq!((granted.scopes.to_string().as_str(), granted.models.allows("n")), ("batches", false));
    assert_eq!(by_google(&rules, &other).unwrap().scopes.to_string(), "inference");
    assert_eq!(by_google(&rules, &person).unwrap().tenant, "b.example");
}

#[test]
fn who_fits_no_rule_may_do_nothing() {
    for json in [
        json!({}),
        json!({"email": "x@acme.iam.evil", "email_verified": true}),
        json!({"email": ["x@acme.iam"], "email_verified": true}),
        json!({"email": "x@acme.iam"}),
        json!({"email": "x@acme.iam", "email_verified": "true"}),
        json!({"email": "x@acme.iam", "email_verified": false}),
        json!({"email": "\u{0}@acme.iam", "email_verified": true}),
        json!({"email": "x@evil.example", "email_verified": true, "hd": ["a.example"]}),
    ] {
        assert_eq!(by_google(&google(), &claims(json.clone())).unwrap_err().kind(), Kind::PermissionDenied, "{json}");
    }
}

#[test]
fn an_address_in_a_list_must_be_verified_too() {
    for claim in ["/email", "/email/0"] {
        let rule = json!({"match": [{"claim": claim, "ends_with": "@acme.iam"}], "tenant": "t", "scopes": "usage"});
        let rules: Vec<Rule> = serde_json::from_value(json!([rule])).unwrap();
        let token = |verified| claims(json!({"sub": "s", "email": ["x@acme.iam"], "email_verified": verified}));

        assert!(grant("kc", "sub", &rules, &token(true)).is_ok());
        assert_eq!(grant("kc", "sub", &rules, &token(false)).unwrap_err().kind(), Kind::PermissionDenied, "{claim}");
    }
}

#[test]
fn a_list_fits_by_one_of_its_elements() {
    let rule = json!({"match": [{"claim": "/realm/roles", "equals": "ops"}], "tenant": "t", "scopes": "admin"});
    let rules: Vec<Rule> = serde_json::from_value(json!([rule])).unwrap();

    let ops = claims(json!({"sub": "s", "realm": {"roles": ["dev", "ops"]}}));

    assert_eq!(grant("kc", "sub", &rules, &ops).unwrap().principal, "kc:s");
    assert!(grant("kc", "sub", &rules, &claims(json!({"sub": "s", "realm": {"roles": "dev ops"}}))).is_err());
}

#[test]
fn a_rule_that_could_mean_two_things_is_refused() {
    for rule in [
        json!({"match": [], "tenant": "t", "scopes": "usage"}),
        json!({"match": [{"claim": "a"}], "tenant": "t", "scopes": "usage"}),
        json!({"match": [{"claim": "a", "equals": 1, "ends_with": "b"}], "tenant": "t", "scopes": "usage"}),
        json!({"match": [{"claim": "a", "ends_with": ""}], "tenant": "t", "scopes": "usage"}),
        json!({"match": [{"claim": "a", "equals": null}], "tenant": "t", "scopes": "usage"}),
        json!({"match": [{"claim": "a", "equals": 1}], "scopes": "usage"}),
        json!({"match": [{"claim": "a", "equals": 1}], "tenant": "t", "tenant_claim": "u", "scopes": "usage"}),
        json!({"match": [{"claim": "a", "equals": 1}], "tenant": "t", "scopes": "root"}),
        json!({"match": [{"claim": "a", "equals": 1}], "tenant": "t", "scopes": "usage", "model": ["m"]}),
    ] {
        assert!(serde_json::from_value::<Rule>(rule.clone()).is_err(), "{rule}");
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z@.]{0,12}".prop_map(Value::from),
        Just(Value::from("x@acme.iam")),
        Just(Value::Null),
    ];
    leaf.prop_recursive(2, 8, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[a-z]{1,4}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_a_token_claims_it_gets_no_more_than_a_rule_grants(
        email in value(), verified in value(), hd in value(),
    ) {
        let rules = google();
        let token = claims(json!({"email": email, "email_verified": verified, "hd": hd}));

        if let Ok(granted) = by_google(&rules, &token) {
            let email = token.text("email").unwrap();
            prop_assert_eq!(token.get("email_verified"), Some(&Value::Bool(true)));
            prop_assert_eq!(&granted.principal, &format!("google:{email}"));
            let fits = |rule: &&Rule| rule.scopes == granted.scopes && &rule.models == granted.models;
            prop_assert!(rules.iter().any(|rule| fits(&rule)));
            if granted.scopes.to_string() != "usage" {
                prop_assert!(email.ends_with("@acme.iam") && granted.tenant == "acme");
            }
        }
    }

    #[test]
    fn a_rule_reads_back_as_it_is_written(end in "[a-z]{1,8}", number in any::<i64>(), text in "[a-z]{0,8}") {
        let rule = Rule {
            conditions: vec![
                Condition { claim: "a".to_owned(), test: Test::EndsWith(end) },
                Condition { claim: "/b/c".to_owned(), test: Test::OneOf(vec![json!(number), json!(text)]) },
            ],
            tenant: TenantOf::Claim("t".to_owned()),
            scopes: Scopes::USER,
            models: ModelAccess::Only(["m".to_owned()].into()),
        };

        prop_assert_eq!(serde_json::from_value::<Rule>(serde_json::to_value(&rule).unwrap()).unwrap(), rule);
    }
}
