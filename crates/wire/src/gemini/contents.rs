//! The conversation as `contents` and `systemInstruction`. Google pairs calls and results by order and name: a turn's
//! results stand together right after its calls, as many and in the same order.

use super::{PROVIDER, is_before_3, media};
use crate::{
    arguments,
    pivot::{Content, Message, Part, Role, ToolCall, TranslateError},
};
use serde_json::{Map, Value, json};

/// Google's documented stand-in for a signature that got lost, as with calls that another model made.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// The fields of a part that are Google's own. It refuses others, so `cache_control` and the like stay behind.
const OWN_FIELDS: [&str; 3] = ["thoughtSignature", "mediaResolution", "videoMetadata"];

/// The kinds of parts only Google has, which callers may hand back as they came.
const OWN_PARTS: [&str; 2] = ["executableCode", "codeExecutionResult"];

/// The conversation as Google sees it.
#[derive(Default)]
pub(super) struct Conversation {
    system: Vec<Value>,
    turns: Vec<Turn>,
    calls: Vec<Call>,
    needs_signatures: bool,
}

struct Call {
    id: String,
    name: String,
}

struct Turn {
    kind: Kind,
    parts: Vec<Value>,
    // Of each result, the number of its call.
    order: Vec<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    User,
    Results,
    Model { has_calls: bool },
}

impl Conversation {
    /// Reads all messages.
    pub(super) fn of(model: &str, messages: &[Message]) -> Result<Self, TranslateError> {
        let mut conversation = Self { needs_signatures: !is_before_3(model), ..Self::default() };
        for (index, message) in messages.iter().enumerate() {
            // What else a message has, as `name`, has no words here and says little about what is wanted.
            conversation.add_message(message, index)?;
        }
        if conversation.turns.is_empty() {
            let message = "`messages` must have at least one message that is not a system message and not empty.";
            return Err(TranslateError::invalid("messages", message));
        }
        Ok(conversation)
    }

    /// `systemInstruction` and `contents`.
    pub(super) fn write(self) -> (Option<Value>, Value) {
        let system = (!self.system.is_empty()).then(|| json!({ "parts": self.system }));
        (system, self.turns.into_iter().map(Turn::write).collect())
    }

    fn add_message(&mut self, message: &Message, index: usize) -> Result<(), TranslateError> {
        // Other parts of a user's message wait until its results are told.
        let mut later = Vec::new();
        for (part_index, part) in message.parts.iter().enumerate() {
            let param = format!("messages[{index}].content[{part_index}]");
            match (&part.content, message.role) {
                // There is only one instruction, so later ones join the first.
                (Content::Text(text), Role::System) => self.system.extend(write_text(text, part)),
                (_, Role::System) => return Err(TranslateError::unsupported(param, PROVIDER)),
                (Content::ToolResult { call_id, parts, is_error }, Role::User) => {
                    let failed = *is_error == Some(true);
                    self.add_result(call_id, parts, failed, &param)?;
                }
                (Content::ToolCall(call), Role::Assistant) => self.add_call(call),
                (_, Role::User) => later.extend(write_part(part, &param)?),
                (_, Role::Assistant) => {
                    let written = write_part(part, &param)?;
                    self.extend(Kind::Model { has_calls: false }, written);
                }
            }
        }
        self.extend(Kind::User, later);
        Ok(())
    }

    fn add_call(&mut self, call: &ToolCall) {
        self.calls.push(Call { id: call.id.clone(), name: call.name.clone() });
        let is_first = !matches!(self.turns.last(), Some(Turn { kind: Kind::Model { has_calls: true }, .. }));
        // Only the first call of a turn is signed.
        let stand_in = (is_first && self.needs_signatures).then_some(NO_SIGNATURE);
        let mut part = Map::new();
        part.insert("functionCall".into(), json!({ "name": call.name, "args": arguments::read(&call.arguments) }));
        if let Some(signature) = call.signature.as_deref().or(stand_in) {
            part.insert("thoughtSignature".into(), signature.into());
        }
        // The id stays behind: Google's v1 refuses it.
        self.extend(Kind::Model { has_calls: true }, [part.into()]);
    }

    fn add_result(&mut self, id: &str, parts: &[Part], failed: bool, param: &str) -> Result<(), TranslateError> {
        let call = self.calls.iter().rposition(|call| call.id == id).ok_or_else(|| {
            TranslateError::invalid(
                param,
                format!("`{param}` answers the tool call `{id}`, which no message before made."),
            )
        })?;
        let result = write_result(&self.calls[call].name, parts, failed, param)?;
        self.extend(Kind::Results, [result]);
        if let Some(turn) = self.turns.last_mut() {
            turn.order.push(call);
        }
        Ok(())
    }

    /// Adds parts to the last turn if they belong to it, else to a new one.
    fn extend(&mut self, kind: Kind, parts: impl IntoIterator<Item = Value>) {
        let mut parts = parts.into_iter().peekable();
        if parts.peek().is_none() {
            return;
        }
        match self.turns.last_mut() {
            Some(turn) if turn.kind.role_and_place() == kind.role_and_place() => {
                turn.kind = turn.kind.and(kind);
                turn.parts.extend(parts);
            }
            _ => self.turns.push(Turn { kind, parts: parts.collect(), order: Vec::new() }),
        }
    }
}

impl Kind {
    fn role_and_place(self) -> (&'static str, bool) {
        match self {
            Self::User => ("user", false),
            Self::Results => ("user", true),
            Self::Model { .. } => ("model", false),
        }
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Model { has_calls: a }, Self::Model { has_calls: b }) => Self::Model { has_calls: a || b },
            _ => self,
        }
    }
}

impl Turn {
    fn write(self) -> Value {
        let mut parts = self.parts;
        if self.kind == Kind::Results {
            let mut results: Vec<_> = self.order.into_iter().zip(parts).collect();
            results.sort_by_key(|(call, _)| *call);
            parts = results.into_iter().map(|(_, result)| result).collect();
        }
        json!({ "role": self.kind.role_and_place().0, "parts": parts })
    }
}

fn write_part(part: &Part, param: &str) -> Result<Option<Value>, TranslateError> {
    match &part.content {
        Content::Text(text) | Content::Refusal(text) => Ok(write_text(text, part)),
        Content::Image(media) | Content::File(media) | Content::Audio(media) => {
            Ok(Some(with_own_fields(media::write(media, param)?, part)))
        }
        // Google does not want thoughts back, and another provider's signature would be refused.
        Content::Thinking { .. } | Content::RedactedThinking(_) => Ok(None),
        Content::Other(value) if OWN_PARTS.iter().any(|name| value.get(name).is_some()) => Ok(Some(value.clone())),
        Content::Other(_) => Err(TranslateError::unsupported(param, PROVIDER)),
        Content::ToolCall(_) | Content::ToolResult { .. } => {
            Err(TranslateError::invalid(param, format!("`{param}` does not fit the role of its message.")))
        }
    }
}

/// Google refuses an empty text.
fn write_text(text: &str, part: &Part) -> Option<Value> {
    (!text.is_empty()).then(|| with_own_fields(json!({ "text": text }), part))
}

fn with_own_fields(mut written: Value, part: &Part) -> Value {
    for name in OWN_FIELDS {
        if let Some(value) = part.rest.get(name).filter(|value| !value.is_null()) {
            written[name] = value.clone();
        }
    }
    written
}

fn write_result(name: &str, parts: &[Part], failed: bool, param: &str) -> Result<Value, TranslateError> {
    let mut texts = Vec::new();
    let mut media_parts = Vec::new();
    for part in parts {
        match &part.content {
            Content::Text(text) => texts.push(text.as_str()),
            Content::Image(media) | Content::File(media) | Content::Audio(media) => {
                media_parts.push(media::write(media, param)?);
            }
            _ => return Err(TranslateError::unsupported(param, PROVIDER)),
        }
    }
    // Always a text: as an object, its keys could mean something to Google, as `$ref` does.
    let response = json!({ (if failed { "error" } else { "output" }): texts.join("\n") });
    let mut result = json!({ "name": name, "response": response });
    if !media_parts.is_empty() {
        result["parts"] = media_parts.into();
    }
    Ok(json!({ "functionResponse": result }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(role: Role, parts: Vec<Content>) -> Message {
        Message { role, parts: parts.into_iter().map(Part::new).collect(), rest: Map::new() }
    }

    fn text(text: &str) -> Content {
        Content::Text(text.into())
    }

    fn call(id: &str, name: &str) -> Content {
        Content::ToolCall(ToolCall { id: id.into(), name: name.into(), ..ToolCall::default() })
    }

    fn result(call_id: &str, output: &str) -> Content {
        Content::ToolResult { call_id: call_id.into(), parts: vec![Part::text(output)], is_error: None }
    }

    fn contents(model: &str, messages: &[Message]) -> Value {
        Conversation::of(model, messages).unwrap().write().1
    }

    #[test]
    fn results_stand_in_the_order_of_their_calls() {
        let messages = [
            message(Role::User, vec![text("Go.")]),
            message(Role::Assistant, vec![text("Right."), call("a", "f")]),
            message(Role::Assistant, vec![call("b", "f")]),
            message(Role::User, vec![text("Quick!"), result("b", "2")]),
            message(Role::User, vec![result("a", "1")]),
        ];

        let written = contents("gemini-2.5-flash", &messages[..3]);
        assert_eq!(written[1]["parts"].as_array().unwrap().len(), 3);

        let written =
            contents("gemini-2.5-flash", &[&messages[..3], &[messages[4].clone()], &[messages[3].clone()]].concat());
        assert_eq!(written[2]["parts"][0]["functionResponse"]["response"]["output"], "1");
        assert_eq!(written[2]["parts"][1]["functionResponse"]["response"]["output"], "2");
        assert_eq!(written[3], json!({"role": "user", "parts": [{"text": "Quick!"}]}));
    }

    #[test]
    fn an_id_used_twice_means_the_latest_call() {
        let messages = [
            message(Role::Assistant, vec![call("0", "f")]),
            message(Role::User, vec![result("0", "1")]),
            message(Role::Assistant, vec![call("0", "g")]),
            message(Role::User, vec![result("0", "2")]),
        ];

        let written = contents("gemini-2.5-flash", &messages);

        assert_eq!(written[1]["parts"][0]["functionResponse"]["name"], "f");
        assert_eq!(written[3]["parts"][0]["functionResponse"]["name"], "g");
    }

    #[test]
    fn a_lost_signature_is_excused_on_the_first_call_of_a_turn() {
        let signed = Content::ToolCall(ToolCall { signature: Some("c2ln".into()), ..ToolCall::default() });
        let messages = [
            message(Role::Assistant, vec![call("a", "f"), call("b", "f")]),
            message(Role::User, vec![result("a", ""), result("b", "")]),
            message(Role::Assistant, vec![signed, call("c", "f")]),
        ];

        let signatures = |model| -> Vec<Value> {
            let written = contents(model, &messages);
            [(0, 0), (0, 1), (2, 0), (2, 1)]
                .map(|(turn, part)| written[turn]["parts"][part]["thoughtSignature"].clone())
                .into()
        };

        assert_eq!(signatures("gemini-3-flash"), [json!(NO_SIGNATURE), Value::Null, json!("c2ln"), Value::Null]);
        assert_eq!(signatures("google/gemini-2.5-pro"), [Value::Null, Value::Null, json!("c2ln"), Value::Null]);
    }

    #[test]
    fn what_says_nothing_is_left_out() {
        let thinking = Content::Thinking { text: "Hm.".into(), signature: Some("other".into()) };
        let messages = [
            message(Role::User, vec![text("Hi"), text("")]),
            message(Role::Assistant, vec![thinking, Content::RedactedThinking("x".into()), text("")]),
            message(Role::User, vec![text("Well?")]),
        ];

        let written = contents("gemini-3-flash", &messages);

        assert_eq!(written, json!([{"role": "user", "parts": [{"text": "Hi"}, {"text": "Well?"}]}]));
    }

    #[test]
    fn what_does_not_fit_is_refused_by_its_place() {
        for (messages, place) in [
            (vec![message(Role::User, vec![text("Hi"), result("x", "1")])], "messages[0].content[1]"),
            (vec![message(Role::User, vec![Content::Other(json!({"type": "video"}))])], "messages[0].content[0]"),
            (vec![message(Role::System, vec![Content::Refusal("No".into())])], "messages[0].content[0]"),
            (vec![message(Role::System, vec![text("Be brief.")])], "messages"),
        ] {
            let error = Conversation::of("gemini-3-flash", &messages).map(|_| ()).unwrap_err();

            assert_eq!(error.param.as_deref(), Some(place));
        }
    }
}
