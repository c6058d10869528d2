//! Whatever the rules and the claims: what is granted is what a plain reading of the documentation grants, and nothing more.
//! The input chooses among few names and values, so that conditions often hold.
#![no_main]

use domain::{
    Error, Kind,
    claims::{Claims, Grant, Rule, grant},
};
use libfuzzer_sys::{
    arbitrary::{Result, Unstructured},
    fuzz_target,
};
use serde_json::{Map, Value, json};

const MOST_CHARS: usize = 256;
const NAMES: [&str; 9] = ["sub", "email", "email_verified", "hd", "org", "realm", "", "a/b", "m~n"];
const PATHS: [&str; 16] = [
    "sub",
    "email",
    "email_verified",
    "hd",
    "org",
    "/email",
    "/hd",
    "/org/sub",
    "/org/hd/0",
    "/realm/org",
    "/email/0",
    "/a~1b",
    "/m~0n",
    "/",
    "//hd",
    "a/b",
];
const WORDS: [&str; 8] = ["ops", "x@acme.iam", "y@acme.iam.evil", "@acme.iam", "iam", "a.example", "", "nul\u{0}"];
const SCOPES: [&str; 6] = ["inference", "files batches", "usage", "admin", "inference admin", "root"];
const MODELS: [&str; 3] = ["m", "n", "org/m"];

fn value(u: &mut Unstructured, depth: u8) -> Result<Value> {
    Ok(match u.int_in_range(0..=if depth == 0 { 7 } else { 9 })? {
        0 => Value::Null,
        1 => Value::Bool(u.arbitrary()?),
        2 => json!(u.int_in_range(-1_i64..=2)?),
        3 => json!(f64::from(u.int_in_range(-1_i8..=2)?)),
        4 => Value::from("é".repeat(u.int_in_range(MOST_CHARS - 1..=MOST_CHARS + 1)?)),
        5 => Value::from(u.arbitrary::<&str>()?),
        6 | 7 => Value::from(*u.choose(&WORDS)?),
        8 => (0..u.int_in_range(0..=3)?).map(|_| value(u, depth - 1)).collect::<Result<Vec<_>>>()?.into(),
        _ => Value::Object(object(u, depth - 1)?),
    })
}

fn object(u: &mut Unstructured, depth: u8) -> Result<Map<String, Value>> {
    (0..u.int_in_range(0..=5)?).map(|_| Ok(((*u.choose(&NAMES)?).to_owned(), value(u, depth)?))).collect()
}

/// A claim's name or the way to it.
fn path(u: &mut Unstructured) -> Result<String> {
    Ok(if u.ratio(1, 8)? { u.arbitrary::<&str>()? } else { *u.choose(&PATHS)? }.to_owned())
}

fn condition(u: &mut Unstructured) -> Result<Value> {
    let (key, test) = match u.int_in_range(0..=3)? {
        0 => ("equals", value(u, 1)?),
        1 => ("one_of", json!([value(u, 0)?, value(u, 0)?])),
        2 => ("ends_with", json!(*u.choose(&WORDS)?)),
        _ => ("ends_with", value(u, 0)?),
    };
    Ok(json!({"claim": path(u)?, key: test}))
}

/// A rule as an operator writes it; not every one makes sense.
fn rule(u: &mut Unstructured) -> Result<Value> {
    let conditions: Vec<_> = (0..*u.choose(&[1, 1, 1, 2, 3, 0])?).map(|_| condition(u)).collect::<Result<_>>()?;
    let mut rule = json!({"match": conditions, "scopes": *u.choose(&SCOPES)?});
    if u.arbitrary()? {
        rule["tenant"] = "acme".into();
    } else {
        rule["tenant_claim"] = path(u)?.into();
    }
    if u.arbitrary()? {
        rule["models"] = json!([*u.choose(&MODELS)?, *u.choose(&MODELS)?]);
    }
    Ok(rule)
}

fn read(written: &Value) -> Option<Rule> {
    serde_json::from_value(written.clone()).ok()
}

/// Claims of which most are what some rule wants.
fn claims(u: &mut Unstructured, principal: &str, rules: &[Value]) -> Result<Value> {
    let mut claims = Value::Object(object(u, 2)?);
    let rule = u.choose(rules)?;
    let mut wanted: Vec<(&str, Value)> = vec![("email_verified", true.into()), (principal, WORDS[1].into())];
    wanted.extend(rule["tenant_claim"].as_str().map(|claim| (claim, WORDS[5].into())));
    for condition in rule["match"].as_array().into_iter().flatten() {
        let value =
            ["equals", "ends_with"].iter().find_map(|key| condition.get(*key)).unwrap_or(&condition["one_of"][0]);
        wanted.push((condition["claim"].as_str().unwrap_or_default(), value.clone()));
    }
    for (path, value) in wanted {
        if u.ratio(7, 8)? {
            put(&mut claims, path, value);
        }
    }
    Ok(claims)
}

/// Puts a value where a path leads to.
fn put(claims: &mut Value, path: &str, value: Value) {
    let mut steps = path.strip_prefix('/').map_or(vec![path], |steps| steps.split('/').collect());
    let first = steps.remove(0);
    let name = if path.starts_with('/') { unescaped(first) } else { first.to_owned() };
    let wrap = |value, step: &str| if step == "0" { json!([value]) } else { json!({unescaped(step): value}) };
    claims[name] = steps.into_iter().rev().fold(value, wrap);
}

fn unescaped(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

/// What stands at a path, by RFC 6901 where it is a pointer.
fn at<'a>(claims: &'a Value, path: &str) -> Option<&'a Value> {
    if path.starts_with('/') { claims.pointer(path) } else { claims.get(path) }
}

fn holds(condition: &Value, claims: &Value) -> bool {
    let Some(found) = at(claims, condition["claim"].as_str().unwrap_or_default()) else { return false };
    let any = |value: &Value| {
        condition.get("equals").is_some_and(|wanted| wanted == value)
            || condition.get("one_of").is_some_and(|wanted| wanted.as_array().is_some_and(|all| all.contains(value)))
            || condition.get("ends_with").is_some_and(
                |end| matches!((value, end), (Value::String(text), Value::String(end)) if text.ends_with(end)),
            )
    };
    found.as_array().map_or_else(|| any(found), |values| values.iter().any(any))
}

fn is_of_email(path: &str) -> bool {
    path == "email" || path == "/email" || path.starts_with("/email/")
}

fn name<'a>(claims: &'a Value, path: &str) -> Option<&'a str> {
    let text = at(claims, path)?.as_str()?;
    ((1..=MOST_CHARS).contains(&text.chars().count()) && !text.chars().any(char::is_control)).then_some(text)
}

/// Tenant, principal, scopes and models that the documentation promises.
fn promised(principal: &str, rules: &[Value], claims: &Value) -> Option<(String, String, Value, Option<Value>)> {
    let conditions = |rule: &Value| rule["match"].as_array().cloned().unwrap_or_default();
    let rule = rules.iter().find(|rule| conditions(rule).iter().all(|condition| holds(condition, claims)))?;
    let tenant_claim = rule.get("tenant_claim").and_then(Value::as_str);
    let mut read = conditions(rule).into_iter().filter_map(|condition| condition["claim"].as_str().map(str::to_owned));
    let leans = is_of_email(principal) || tenant_claim.is_some_and(is_of_email) || read.any(|path| is_of_email(&path));
    if leans && claims.get("email_verified") != Some(&Value::Bool(true)) {
        return None;
    }
    let tenant = tenant_claim.map_or(Some("acme"), |claim| name(claims, claim))?;
    let principal = format!("test:{}", name(claims, principal)?);
    Some((tenant.to_owned(), principal, rule["scopes"].clone(), rule.get("models").cloned()))
}

fn run(u: &mut Unstructured) -> Result<()> {
    let principal = path(u)?;
    let written: Vec<_> = (0..u.int_in_range(1..=4)?).map(|_| rule(u)).collect::<Result<_>>()?;
    let claims = claims(u, &principal, &written)?;
    // A rule that is refused at the start is never asked.
    let (written, rules): (Vec<_>, Vec<_>) =
        written.into_iter().filter_map(|written| read(&written).map(|rule| (written, rule))).unzip();
    for rule in &rules {
        assert_eq!(read(&serde_json::to_value(rule).expect("a rule can be written")).as_ref(), Some(rule));
    }

    let token: Claims = serde_json::from_value(claims.clone()).expect("an object is claims");
    let granted = grant("test", &principal, &rules, &token);

    judge(granted, promised(&principal, &written, &claims));
    Ok(())
}

fn judge(granted: std::result::Result<Grant<'_>, Error>, promised: Option<(String, String, Value, Option<Value>)>) {
    match (granted, promised) {
        (Ok(granted), Some((tenant, principal, scopes, models))) => {
            assert_eq!((granted.tenant, granted.principal), (tenant.as_str(), principal));
            assert_eq!(granted.scopes.to_string(), scopes.as_str().unwrap_or_default());
            for model in MODELS.into_iter().chain(["other"]) {
                let is_named =
                    models.as_ref().is_none_or(|names| names.as_array().is_some_and(|all| all.contains(&model.into())));
                assert_eq!(granted.models.allows(model), is_named, "{model}");
            }
        }
        (Err(error), None) => {
            assert_eq!((error.kind(), error.code()), (Kind::PermissionDenied, Some("no_matching_rule")));
        }
        (granted, promised) => panic!("granted: {granted:?}, promised: {promised:?}"),
    }
}

fuzz_target!(|bytes: &[u8]| {
    // Too few bytes are an input like any other, of which nothing comes.
    let _ = run(&mut Unstructured::new(bytes));
});
