//! The conversation as `system` and `messages`. Anthropic wants the results of tools at the beginning of the user's
//! turn right after the calls; other dialects have them in messages of their own.

use super::{
    PROVIDER,
    content::{self, as_string_if_plain, with_rest},
};
use crate::pivot::{Content, Message, Role, TranslateError};
use serde_json::{Map, Value, json};

/// The conversation as Anthropic sees it.
#[derive(Default)]
pub(super) struct Conversation {
    system: Vec<Value>,
    turns: Vec<Turn>,
}

struct Turn {
    role: Role,
    results: Vec<Value>,
    blocks: Vec<Value>,
    rest: Map<String, Value>,
}

impl Conversation {
    /// Reads all messages.
    pub(super) fn of(messages: &[Message]) -> Result<Self, TranslateError> {
        let mut conversation = Self::default();
        for (index, message) in messages.iter().enumerate() {
            conversation.add(message, index)?;
        }
        if conversation.turns.is_empty() {
            let why = "`messages` must have at least one message that is not a system message and not empty.";
            return Err(TranslateError::invalid("messages", why));
        }
        Ok(conversation)
    }

    /// `system`, if there is one, and `messages`.
    pub(super) fn write(self) -> (Option<Value>, Value) {
        let system = (!self.system.is_empty()).then(|| as_string_if_plain(self.system));
        (system, self.turns.into_iter().map(Turn::write).collect())
    }

    fn add(&mut self, message: &Message, index: usize) -> Result<(), TranslateError> {
        let mut turn = Turn { role: message.role, results: Vec::new(), blocks: Vec::new(), rest: message.rest.clone() };
        for (part_index, part) in message.parts.iter().enumerate() {
            let place = format!("messages[{index}].content[{part_index}]");
            match (&part.content, message.role) {
                // There is only one instruction, so later ones join the first.
                (Content::Text(_), Role::System) => self.system.extend(content::write(part, &place)?),
                (_, Role::System) => return Err(TranslateError::unsupported(place, PROVIDER)),
                (Content::ToolCall(_), Role::User) | (Content::ToolResult { .. }, Role::Assistant) => {
                    let why = format!("`{place}` does not fit the role of its message.");
                    return Err(TranslateError::invalid(place, why));
                }
                (Content::ToolResult { .. }, Role::User) => turn.results.extend(content::write(part, &place)?),
                _ => turn.blocks.extend(content::write(part, &place)?),
            }
        }
        self.push(turn);
        Ok(())
    }

    fn push(&mut self, turn: Turn) {
        if turn.results.is_empty() && turn.blocks.is_empty() {
            return;
        }
        match self.turns.last_mut() {
            Some(last) if last.takes(&turn) => {
                last.results.extend(turn.results);
                last.blocks.extend(turn.blocks);
                last.rest.extend(turn.rest);
            }
            _ => self.turns.push(turn),
        }
    }
}

impl Turn {
    /// Whether a turn must be part of this one, for results to stand first and together.
    fn takes(&self, next: &Self) -> bool {
        let have_results = !self.results.is_empty() || !next.results.is_empty();
        self.role == Role::User && next.role == Role::User && have_results
    }

    fn write(self) -> Value {
        let role = if self.role == Role::Assistant { "assistant" } else { "user" };
        let mut blocks = self.results;
        blocks.extend(self.blocks);
        let message = json!({ "role": role, "content": as_string_if_plain(blocks) });
        // Who of several users speaks, and what an earlier answer told about its text, have no words here and say little
        // about what is wanted.
        with_rest(message, &self.rest, &["name", "annotations"])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pivot::{Part, ToolCall};

    fn message(role: Role, contents: Vec<Content>) -> Message {
        Message { role, parts: contents.into_iter().map(Part::new).collect(), rest: Map::new() }
    }

    fn text(text: &str) -> Content {
        Content::Text(text.into())
    }

    fn call(id: &str) -> Content {
        Content::ToolCall(ToolCall { id: id.into(), name: "f".into(), ..ToolCall::default() })
    }

    fn result(call_id: &str) -> Content {
        Content::ToolResult { call_id: call_id.into(), parts: vec![Part::text(call_id)], is_error: None }
    }

    fn write(messages: &[Message]) -> (Option<Value>, Value) {
        Conversation::of(messages).unwrap().write()
    }

    #[test]
    fn results_stand_first_in_the_turn_after_the_calls() {
        let result_block = |id: &str| json!({"type": "tool_result", "tool_use_id": id, "content": id});
        let messages = [
            message(Role::Assistant, vec![call("a"), call("b")]),
            message(Role::User, vec![text("Quick!"), result("a")]),
            message(Role::User, vec![result("b")]),
            message(Role::User, vec![text("Well?")]),
        ];

        let (_, written) = write(&messages);

        let content = json!([
            result_block("a"),
            result_block("b"),
            {"type": "text", "text": "Quick!"},
            {"type": "text", "text": "Well?"},
        ]);
        assert_eq!(written.as_array().unwrap().len(), 2);
        assert_eq!(written[1], json!({"role": "user", "content": content}));
    }

    #[test]
    fn all_instructions_are_one() {
        let messages = [
            message(Role::System, vec![text("Be brief.")]),
            message(Role::User, vec![text("Hi")]),
            message(Role::System, vec![text(""), text("Be kind.")]),
        ];

        let (system, written) = write(&messages);

        assert_eq!(system, Some(json!([{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}])));
        assert_eq!(written, json!([{"role": "user", "content": "Hi"}]));
        assert_eq!(write(&messages[..2]).0, Some(json!("Be brief.")));
    }

    #[test]
    fn turns_without_results_stay_apart_and_empty_ones_go() {
        let mut named = message(Role::User, vec![text("Hi")]);
        named.rest = [("name".into(), json!("Ada")), ("new".into(), json!(1))].into_iter().collect();
        let messages = [named, message(Role::Assistant, vec![text("\n")]), message(Role::User, vec![text("Well?")])];

        let (_, written) = write(&messages);

        assert_eq!(written, json!([{"role": "user", "content": "Hi", "new": 1}, {"role": "user", "content": "Well?"}]));
    }

    #[test]
    fn what_does_not_fit_is_refused_by_its_place() {
        for (messages, place) in [
            (vec![message(Role::User, vec![text("Hi"), call("a")])], "messages[0].content[1]"),
            (vec![message(Role::Assistant, vec![result("a")])], "messages[0].content[0]"),
            (vec![message(Role::System, vec![Content::Refusal("No".into())])], "messages[0].content[0]"),
            (vec![message(Role::System, vec![text("Be brief.")])], "messages"),
        ] {
            let error = Conversation::of(&messages).map(|_| ()).unwrap_err();

            assert_eq!(error.param.as_deref(), Some(place));
        }
    }
}
