//! The record of one line: the JSON line that its output or error file will hold.

use domain::{Error, Kind, RequestId, Result, Usage, UsageRecord};
use serde_json::value::RawValue;
use store::Side;
use wire::batch::{LineError, LineResponse, OutputLine};

/// How a line ended.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    /// The line, counted from 0 within the shard.
    pub(crate) number: usize,
    pub(crate) side: Side,
    /// One line of JSON without its newline.
    pub(crate) json: Vec<u8>,
    /// What answering it used.
    pub(crate) usage: Usage,
    /// What the ledger is told; none for a line that was never called.
    pub(crate) ledger: Option<Box<UsageRecord>>,
}

/// The file line for an executed line.
pub(crate) fn executed(custom_id: &str, request_id: &RequestId, status: u16, body: &[u8]) -> Result<Vec<u8>> {
    let response = LineResponse { status_code: status, request_id: request_id.to_string(), body: on_one_line(body)? };
    Ok(to_json(custom_id, Some(response), None))
}

/// The file line for a line that failed before or instead of an answer.
pub(crate) fn failed(custom_id: &str, request_id: &RequestId, error: &Error) -> Vec<u8> {
    let body = serde_json::value::to_raw_value(&chassis::error_body(error)).expect("strings always serialise");
    let status_code = chassis::status_of(error.kind()).as_u16();
    let response = LineResponse { status_code, request_id: request_id.to_string(), body };
    to_json(custom_id, Some(response), None)
}

/// The file line for a line that was never executed.
pub(crate) fn unexecuted(custom_id: &str, code: &str, message: &str) -> Vec<u8> {
    to_json(custom_id, None, Some(LineError { code: code.to_owned(), message: message.to_owned() }))
}

/// The file line for a line that is answered with the answer to an identical one, `json`.
pub(crate) fn twin(custom_id: &str, json: &[u8]) -> Result<Vec<u8>> {
    let line: OutputLine = serde_json::from_slice(json).map_err(Error::internal)?;
    Ok(to_json(custom_id, line.response, line.error))
}

fn to_json(custom_id: &str, response: Option<LineResponse>, error: Option<LineError>) -> Vec<u8> {
    let id = format!("batch_{}", RequestId::generate());
    let line = OutputLine { id, custom_id: custom_id.to_owned(), response, error };
    serde_json::to_vec(&line).expect("strings and raw JSON always serialise")
}

/// JSON as it came, unless it spans lines: a file line must not.
fn on_one_line(body: &[u8]) -> Result<Box<RawValue>> {
    let nonsense =
        |error| Error::new(Kind::BadUpstream, "The model answered something that is not JSON.").with_source(error);
    if memchr::memchr2(b'\n', b'\r', body).is_none() {
        return serde_json::from_slice(body).map_err(nonsense);
    }
    let value: serde_json::Value = serde_json::from_slice(body).map_err(nonsense)?;
    serde_json::value::to_raw_value(&value).map_err(Error::internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pretty_answer_becomes_one_line() {
        let body = b"{\n  \"id\": \"x\",\n  \"z\": [1,\n 2]\n}\n";

        let json = executed("c", &RequestId::from_string("req_1"), 200, body).unwrap();

        assert!(!json.contains(&b'\n'));
        assert!(String::from_utf8(json).unwrap().contains(r#""body":{"id":"x","z":[1,2]}"#));
    }

    #[test]
    fn a_line_that_was_never_executed_has_no_response() {
        let json = String::from_utf8(unexecuted("c", "batch_expired", "m")).unwrap();

        assert!(json.starts_with(r#"{"id":"batch_req_"#), "{json}");
        assert!(json.ends_with(r#""custom_id":"c","response":null,"error":{"code":"batch_expired","message":"m"}}"#));
    }
}
