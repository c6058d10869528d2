//! The body a deployment gets: as the caller wrote it but for a few values where it speaks the caller's dialect, translated
//! where it does not, with the operator's changes.

use crate::{
    Dialect, ModelRequest,
    catalog::{Deployment, Engine, Provider, Publisher, Rewrite, Vertex},
    reading::Grammar,
    speech::Speech,
    translate,
};
use bytes::Bytes;
use domain::{Class, Error, RequestContext, Result};
use serde_json::{Map, Value, json};
use wire::head::{Edit, model_edit, splice};

/// vLLM serves lower numbers first.
const BATCH_PRIORITY: i64 = 10;
const USAGE_PLEASE: &str = r#"{"include_usage":true}"#;

/// A request ready to be sent.
#[derive(Debug)]
pub(crate) struct Spoken {
    pub(crate) body: Bytes,
    /// What it means, if it had to be translated. Boxed: most requests have none, and would carry room for it.
    pub(crate) meaning: Option<Box<translate::Meaning>>,
}

impl Spoken {
    /// The request as `deployment` gets it.
    ///
    /// # Errors
    /// `InvalidRequest` for what the deployment's dialect has no words for.
    pub(crate) fn new(
        speech: Speech,
        request: &ModelRequest,
        deployment: &Deployment,
        ctx: &RequestContext,
    ) -> Result<Self> {
        let rewrite = &deployment.rewrite;
        let (body, spoken, meaning) = if speech == Speech::Same {
            let body = splice(&request.body, edits(request, deployment, ctx));
            (rewritten(body, rewrite, request.dialect)?, request.dialect, None)
        } else {
            // Before the translation: it would refuse what the operator wants left out, and knows where a limit belongs.
            let body = rewritten(request.body.clone(), rewrite, request.dialect)?;
            let translated = translate::request(speech, request.dialect, &body, &deployment.upstream_model)?;
            let body = serde_json::to_vec(&translated.body).map_err(Error::internal)?;
            (body.into(), speech.spoken(request.dialect), translated.meaning)
        };
        let is_claude_on_vertex =
            matches!(&deployment.provider, Provider::Vertex(Vertex { publisher: Publisher::Anthropic, .. }));
        let body = if is_claude_on_vertex { for_vertex(&body, spoken)? } else { body };
        Ok(Self { body, meaning })
    }

    /// How the stream that answers it is to be read for a caller who wrote `request`.
    pub(crate) fn grammar(&self, speech: Speech, request: &ModelRequest) -> Grammar {
        match (&self.meaning, request.dialect) {
            (Some(meaning), dialect) => translate::stream(speech, dialect, meaning),
            (None, Dialect::Messages | Dialect::CountTokens) => Grammar::Messages,
            (None, Dialect::Responses) => Grammar::Responses,
            (None, _) => Grammar::chunks(request.head.include_usage),
        }
    }
}

/// What is changed in a body that passes through.
fn edits(request: &ModelRequest, deployment: &Deployment, ctx: &RequestContext) -> Vec<Edit> {
    let head = &request.head;
    let mut edits = vec![model_edit(head, &deployment.upstream_model)];
    let mut first = String::new();
    let counts_tokens = matches!(request.dialect, Dialect::Chat | Dialect::Completions);
    if head.stream && counts_tokens && !head.include_usage {
        match &head.stream_options_span {
            Some(span) => edits.push((span.clone(), USAGE_PLEASE.into())),
            None => first.push_str(&format!(r#""stream_options":{USAGE_PLEASE},"#)),
        }
    }
    if deployment.engine == Engine::Vllm && deployment.priority_scheduling {
        let priority = if ctx.class == Class::Batch { BATCH_PRIORITY } else { 0 };
        match &head.priority_span {
            Some(span) => edits.push((span.clone(), priority.to_string().into())),
            None if priority != 0 => first.push_str(&format!(r#""priority":{priority},"#)),
            None => {}
        }
    }
    if !first.is_empty() {
        edits.push((head.first_member..head.first_member, first.into()));
    }
    edits
}

/// The operator's changes.
fn rewritten(body: Bytes, rewrite: &Rewrite, dialect: Dialect) -> Result<Bytes> {
    if rewrite.is_empty() {
        return Ok(body);
    }
    let mut fields: Map<String, Value> = serde_json::from_slice(&body).map_err(Error::internal)?;
    for name in &rewrite.drop {
        fields.shift_remove(name);
    }
    fields.extend(rewrite.add.clone());
    if let Some(cap) = rewrite.max_tokens {
        cap_tokens(&mut fields, cap, dialect);
    }
    Ok(serde_json::to_vec(&fields).map_err(Error::internal)?.into())
}

/// Claude's body as Vertex AI wants it: the model stands in the address, the version in the body.
fn for_vertex(body: &Bytes, dialect: Dialect) -> Result<Bytes> {
    let mut fields: Map<String, Value> = serde_json::from_slice(body).map_err(Error::internal)?;
    if dialect != Dialect::CountTokens {
        fields.shift_remove("model");
    }
    fields.insert("anthropic_version".into(), json!("vertex-2023-10-16"));
    Ok(serde_json::to_vec(&fields).map_err(Error::internal)?.into())
}

fn cap_tokens(fields: &mut Map<String, Value>, cap: u64, dialect: Dialect) {
    let names = ["max_completion_tokens", "max_output_tokens", "max_tokens"];
    let mut is_given = false;
    for name in names {
        if let Some(asked) = fields.get(name).and_then(Value::as_u64) {
            is_given = true;
            fields.insert(name.into(), asked.min(cap).into());
        }
    }
    let name = match dialect {
        Dialect::Responses => "max_output_tokens",
        Dialect::Chat | Dialect::Completions | Dialect::Messages => "max_tokens",
        Dialect::Embeddings | Dialect::CountTokens => return,
    };
    if !is_given {
        fields.insert(name.into(), cap.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{RequestId, TenantId, Wishes};

    fn context(class: Class) -> RequestContext {
        let (request_id, tenant) = (RequestId::generate(), TenantId::generate());
        RequestContext { request_id, tenant, key: None, class, trace: None, deadline: None, wishes: Wishes::default() }
    }

    fn put(body: &str, deployment: &Deployment, class: Class) -> String {
        let request = ModelRequest::parse(Dialect::Chat, Bytes::copy_from_slice(body.as_bytes())).unwrap();
        let spoken = Spoken::new(Speech::Same, &request, deployment, &context(class)).unwrap();
        String::from_utf8(spoken.body.to_vec()).unwrap()
    }

    fn deployment() -> Deployment {
        Deployment { upstream_model: "up".into(), ..Deployment::default() }
    }

    #[test]
    fn a_stream_always_asks_for_usage() {
        let cases = [
            (
                r#"{"model":"m","stream":true}"#,
                r#"{"stream_options":{"include_usage":true},"model":"up","stream":true}"#,
            ),
            (
                r#"{"model":"m","stream":true,"stream_options":{"include_usage":false}}"#,
                r#"{"model":"up","stream":true,"stream_options":{"include_usage":true}}"#,
            ),
            (
                r#"{"model":"m","stream":true,"stream_options":{"include_usage":true,"x":1}}"#,
                r#"{"model":"up","stream":true,"stream_options":{"include_usage":true,"x":1}}"#,
            ),
            (r#"{"model":"m"}"#, r#"{"model":"up"}"#),
        ];
        for (body, expected) in cases {
            assert_eq!(put(body, &deployment(), Class::Interactive), expected);
        }
    }

    #[test]
    fn a_scheduler_that_knows_priorities_is_told_the_class_and_nothing_else() {
        let vllm = Deployment { engine: Engine::Vllm, priority_scheduling: true, ..deployment() };

        assert_eq!(put(r#"{"model":"m"}"#, &vllm, Class::Batch), r#"{"priority":10,"model":"up"}"#);
        assert_eq!(put(r#"{"model":"m"}"#, &vllm, Class::Interactive), r#"{"model":"up"}"#);
        assert_eq!(put(r#"{"model":"m","priority":-9}"#, &vllm, Class::Batch), r#"{"model":"up","priority":10}"#);
        assert_eq!(put(r#"{"model":"m"}"#, &deployment(), Class::Batch), r#"{"model":"up"}"#);
    }

    #[test]
    fn the_operator_may_cap_add_and_drop() {
        let rewrite = Rewrite {
            max_tokens: Some(100),
            add: Map::from_iter([("top_k".to_owned(), json!(5))]),
            drop: vec!["seed".into()],
        };
        let capped = Deployment { rewrite, ..deployment() };

        assert_eq!(
            put(r#"{"model":"m","seed":1,"max_tokens":7,"vendor":true}"#, &capped, Class::Interactive),
            r#"{"model":"up","max_tokens":7,"vendor":true,"top_k":5}"#
        );
        assert_eq!(
            put(r#"{"model":"m"}"#, &capped, Class::Interactive),
            r#"{"model":"up","top_k":5,"max_tokens":100}"#
        );
        assert_eq!(
            put(r#"{"model":"m","max_completion_tokens":700}"#, &capped, Class::Interactive),
            r#"{"model":"up","max_completion_tokens":100,"top_k":5}"#
        );
    }

    #[test]
    fn what_the_operator_drops_is_not_refused_by_the_translation() {
        let claude = |drop: &[&str]| Deployment {
            apis: vec![crate::catalog::Api::Messages],
            rewrite: Rewrite { drop: drop.iter().map(|name| (*name).to_owned()).collect(), ..Rewrite::default() },
            ..deployment()
        };
        let body = Bytes::from_static(br#"{"model":"m","n":2,"messages":[{"role":"user","content":"Hi"}]}"#);
        let request = ModelRequest::parse(Dialect::Chat, body).unwrap();
        let put = |deployment| Spoken::new(Speech::Messages, &request, &deployment, &context(Class::Interactive));

        assert_eq!(put(claude(&[])).unwrap_err().param(), Some("n"));
        assert!(put(claude(&["n"])).is_ok());
    }

    #[test]
    fn a_cap_reaches_the_limit_of_every_dialect() {
        let rewrite = Rewrite { max_tokens: Some(100), ..Rewrite::default() };
        let body = Bytes::from_static(br#"{"model":"m","messages":[{"role":"user","content":"Hi"}]}"#);
        let request = ModelRequest::parse(Dialect::Chat, body).unwrap();
        let put = |speech| {
            let deployment = Deployment { rewrite: rewrite.clone(), ..deployment() };
            let spoken = Spoken::new(speech, &request, &deployment, &context(Class::Interactive)).unwrap();
            serde_json::from_slice::<Value>(&spoken.body).unwrap()
        };

        assert_eq!(put(Speech::Messages)["max_tokens"], 100);
        let gemini = put(Speech::Gemini);
        assert_eq!(
            (&gemini["generationConfig"]["maxOutputTokens"], &gemini["max_tokens"]),
            (&json!(100), &Value::Null)
        );
    }

    #[test]
    fn claude_on_vertex_has_its_version_in_the_body_and_no_model() {
        let body = Bytes::from_static(br#"{"model":"m","max_tokens":5}"#);

        assert_eq!(
            for_vertex(&body, Dialect::Messages).unwrap(),
            &br#"{"max_tokens":5,"anthropic_version":"vertex-2023-10-16"}"#[..]
        );
        assert!(for_vertex(&body, Dialect::CountTokens).unwrap().starts_with(br#"{"model":"m""#));
    }
}
