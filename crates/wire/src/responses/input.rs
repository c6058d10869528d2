//! `instructions` and `input` as a conversation. The dialect's items are finer than turns: a turn of the model is its
//! reasoning, messages and calls together, and the outputs of its calls are one turn of the user's.

use super::{content, model_items::ModelItems};
use crate::{
    fields::{Fields, must_be, objects},
    pivot::{Content, Message, Part, Role, TranslateError},
};
use serde_json::{Map, Value};

#[derive(Default)]
struct Conversation {
    messages: Vec<Message>,
    model_items: ModelItems,
}

/// Reads the conversation.
pub(super) fn read(body: &mut Fields) -> Result<Vec<Message>, TranslateError> {
    let mut conversation = Conversation::default();
    if let Some(instructions) = body.string("instructions")?.filter(|text| !text.is_empty()) {
        conversation.add(Role::System, vec![Part::text(instructions)], Map::new());
    }
    match body.take("input") {
        None => return Err(body.error("input", "is required.")),
        Some(Value::String(text)) => conversation.add(Role::User, vec![Part::text(text)], Map::new()),
        Some(Value::Array(items)) => {
            for item in objects(items, "input")? {
                conversation.add_item(item)?;
            }
        }
        Some(_) => return Err(must_be("input", "a string or a list of items")),
    }
    if conversation.messages.is_empty() {
        return Err(body.error("input", "must not be empty."));
    }
    Ok(conversation.messages)
}

impl Conversation {
    fn add_item(&mut self, mut item: Fields) -> Result<(), TranslateError> {
        let kind = match item.string("type")? {
            Some(kind) => kind,
            None if item.has("role") => "message".to_owned(),
            None => "item_reference".to_owned(),
        };
        if let Some(mut parts) = self.model_items.read(&kind, &mut item)? {
            if let Some(part) = parts.last_mut() {
                part.rest = item.rest();
                self.add(Role::Assistant, parts, Map::new());
            }
            return Ok(());
        }
        match kind.as_str() {
            "message" => self.add_message(item),
            "function_call_output" => self.add_result(item),
            "item_reference" => {
                let why = "refers to a stored item, and nothing is stored here; send the item itself (where a client \
                           library does this, set `store` to false).";
                Err(TranslateError::invalid(item.own_place(), format!("`{}` {why}", item.own_place())))
            }
            _ => {
                let why = format!(
                    "is `{kind}`, which is not supported here; it must be `message`, `function_call`, \
                     `function_call_output` or `reasoning`."
                );
                Err(item.error("type", &why))
            }
        }
    }

    fn add_message(&mut self, mut item: Fields) -> Result<(), TranslateError> {
        let role = match item.required_string("role")?.as_str() {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            // Two names for the same: OpenAI reads either as what the model knows.
            "system" | "developer" => Role::System,
            other => {
                let why = format!("is `{other}`; it must be `user`, `assistant`, `system` or `developer`.");
                return Err(item.error("role", &why));
            }
        };
        let content = item.take("content");
        let parts = content::read(content, &item.place("content"))?;
        // Whether it was a comment or the answer; only models that OpenAI serves were taught the difference.
        item.ignore(&["phase"]);
        self.add(role, parts, item.rest());
        Ok(())
    }

    fn add_result(&mut self, mut item: Fields) -> Result<(), TranslateError> {
        let call_id = item.required_string("call_id")?;
        let output = item.take("output");
        let parts = content::read(output, &item.place("output"))?;
        // The call says it all.
        item.ignore(&["name", "namespace", "caller"]);
        let result = Content::ToolResult { call_id, parts, is_error: None };
        self.add(Role::User, vec![Part { content: result, rest: item.rest() }], Map::new());
        Ok(())
    }

    fn add(&mut self, role: Role, parts: Vec<Part>, rest: Map<String, Value>) {
        if parts.is_empty() {
            return;
        }
        match self.messages.last_mut() {
            Some(last) if rest.is_empty() && continues(last, role, &parts) => last.parts.extend(parts),
            _ => self.messages.push(Message { role, parts, rest }),
        }
    }
}

fn continues(last: &Message, role: Role, parts: &[Part]) -> bool {
    let are_results = |parts: &[Part]| parts.iter().all(|part| matches!(part.content, Content::ToolResult { .. }));
    last.rest.is_empty()
        && match (last.role, role) {
            (Role::Assistant, Role::Assistant) => true,
            (Role::User, Role::User) => are_results(&last.parts) && are_results(parts),
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pivot::ToolCall;
    use serde_json::json;

    fn read_input(input: Value) -> Result<Vec<Message>, TranslateError> {
        read(&mut Fields::new(json!({ "input": input }), "").unwrap())
    }

    fn contents(messages: &[Message]) -> Vec<(Role, Vec<Content>)> {
        let contents = |message: &Message| message.parts.iter().map(|part| part.content.clone()).collect();
        messages.iter().map(|message| (message.role, contents(message))).collect()
    }

    fn text(text: &str) -> Content {
        Content::Text(text.into())
    }

    fn call(id: &str, signature: Option<&str>) -> Content {
        let signature = signature.map(Into::into);
        Content::ToolCall(ToolCall { id: id.into(), name: "f".into(), arguments: "{}".into(), signature })
    }

    fn result(id: &str) -> Content {
        Content::ToolResult { call_id: id.into(), parts: vec![Part::text("1")], is_error: None }
    }

    #[test]
    fn items_of_one_turn_are_one_message() {
        let messages = read_input(json!([
            {"role": "user", "content": "Go."},
            {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "Hm."}]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Right."}]},
            {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}", "status": "completed"},
            {"type": "function_call", "call_id": "b", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "a", "output": "1"},
            {"type": "function_call_output", "call_id": "b", "output": [{"type": "input_text", "text": "1"}]},
            {"role": "user", "content": "Quick!"},
        ]))
        .unwrap();

        let thinking = Content::Thinking { text: "Hm.".into(), signature: None };
        let expected = [
            (Role::User, vec![text("Go.")]),
            (Role::Assistant, vec![thinking, text("Right."), call("a", None), call("b", None)]),
            (Role::User, vec![result("a"), result("b")]),
            (Role::User, vec![text("Quick!")]),
        ];
        assert_eq!(contents(&messages), expected);
    }

    #[test]
    fn secrets_come_back_to_where_they_belong() {
        let messages = read_input(json!([
            {"type": "reasoning", "summary": [], "encrypted_content": "redacted_thinking:x"},
            {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}],
             "encrypted_content": "sig"},
            {"type": "reasoning", "summary": [], "encrypted_content": "blob"},
            {"type": "reasoning", "summary": [], "encrypted_content": "tool_call:y"},
            {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
            {"type": "function_call", "call_id": "b", "name": "f", "arguments": "{}"},
            {"type": "reasoning", "summary": []},
        ]))
        .unwrap();

        let expected = vec![
            Content::RedactedThinking("x".into()),
            Content::Thinking { text: "Hm.".into(), signature: Some("sig".into()) },
            Content::Thinking { text: String::new(), signature: Some("blob".into()) },
            call("a", Some("y")),
            call("b", None),
        ];
        assert_eq!(contents(&messages), [(Role::Assistant, expected)]);
    }

    #[test]
    fn unknown_fields_survive_and_keep_messages_apart() {
        let messages = read_input(json!([
            {"role": "assistant", "content": "a", "phase": "commentary"},
            {"role": "assistant", "content": "b", "new": 1},
            {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}", "newer": 2},
        ]))
        .unwrap();

        assert_eq!(messages.len(), 3);
        assert_eq!(Value::from(messages[1].rest.clone()), json!({"new": 1}));
        assert_eq!(Value::from(messages[2].parts[0].rest.clone()), json!({"newer": 2}));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (item, place) in [
            (json!({"id": "msg_1"}), "input[0]"),
            (json!({"type": "item_reference", "id": "msg_1"}), "input[0]"),
            (json!({"type": "web_search_call", "id": "ws_1"}), "input[0].type"),
            (json!({"type": "custom_tool_call", "id": "ctc_1"}), "input[0].type"),
            (json!({"role": "tool", "content": "x"}), "input[0].role"),
            (json!({"role": "user"}), "input[0].content"),
            (json!({"role": "user", "content": [{"type": "image_url"}]}), "input[0].content[0].type"),
            (json!({"type": "function_call", "name": "f", "arguments": "{}"}), "input[0].call_id"),
            (json!({"type": "function_call", "call_id": "a", "namespace": "n"}), "input[0].namespace"),
            (json!({"type": "function_call_output", "call_id": "a"}), "input[0].output"),
            (json!({"type": "reasoning", "summary": [{}]}), "input[0].summary[0].text"),
            (json!("x"), "input[0]"),
        ] {
            assert_eq!(read_input(json!([item])).unwrap_err().param.as_deref(), Some(place));
        }
        assert_eq!(read_input(json!([])).unwrap_err().param.as_deref(), Some("input"));
        assert_eq!(read_input(json!(7)).unwrap_err().param.as_deref(), Some("input"));
        assert_eq!(read_input(Value::Null).unwrap_err().param.as_deref(), Some("input"));
    }
}
