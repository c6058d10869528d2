use super::*;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde_json::{Value, json};
use std::{collections::BTreeSet, path::Path};

fn schemas() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../infra/schemas"))
}

fn schema() -> MessageDescriptor {
    let files = protox::compile(["usage_event.proto"], [schemas()]).unwrap();
    let pool = DescriptorPool::from_file_descriptor_set(files).unwrap();
    assert_eq!(pool.all_messages().count(), 1, "Pub/Sub takes one message a schema");
    pool.get_message_by_name("tandem.v1.UsageEvent").unwrap()
}

fn full() -> LedgerRow {
    let some = |text: &str| Some(text.to_owned());
    LedgerRow {
        id: "use_1".to_owned(),
        at_ms: 1_767_225_600_123,
        tenant_id: "tenant_a".to_owned(),
        key_id: some("key_a"),
        principal: some("iam:bob"),
        batch_id: some("batch_a"),
        request_id: "req_1".to_owned(),
        trace_id: some("0af7651916cd43dd8448eb211c80319c"),
        class: "batch".to_owned(),
        dialect: "chat".to_owned(),
        model: "m".to_owned(),
        deployment: some("d"),
        status: 200,
        outcome: "complete".to_owned(),
        input_tokens: 7,
        output_tokens: 3,
        cached_tokens: 2,
        cache_write_tokens: 1,
        reasoning_tokens: 1,
        is_estimated: true,
        is_cached: true,
        cost_nanos: Some(1_500_000_001),
        latency_ms: 12,
        ttft_ms: Some(5),
    }
}

fn unknown() -> LedgerRow {
    LedgerRow {
        key_id: None,
        principal: None,
        batch_id: None,
        trace_id: None,
        deployment: None,
        cost_nanos: None,
        ttft_ms: None,
        ..full()
    }
}

fn event(row: &LedgerRow) -> Value {
    serde_json::to_value(UsageEvent::from(row)).unwrap()
}

fn names(event: &Value) -> BTreeSet<String> {
    event.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn an_event_fits_the_schema_of_the_topic() {
    for row in [full(), unknown()] {
        let event = event(&row);

        let read = DynamicMessage::deserialize(schema(), &event).unwrap();

        assert_eq!(read.get_field_by_name("event_id").unwrap().as_str(), Some("use_1"));
        assert_eq!(read.get_field_by_name("input_tokens").unwrap().as_i64(), Some(7));
    }
    assert!(DynamicMessage::deserialize(schema(), &json!({"event_id": "use_1", "prompt": "x"})).is_err());
}

#[test]
fn a_full_event_has_every_field_and_only_optional_ones_are_ever_absent() {
    let optional = |field: &prost_reflect::FieldDescriptor| field.containing_oneof().is_some();
    let fields: Vec<_> = schema().fields().collect();

    let (full, unknown) = (names(&event(&full())), names(&event(&unknown())));

    assert_eq!(full, fields.iter().map(|field| field.name().to_owned()).collect());
    let required = fields.iter().filter(|field| !optional(field)).map(|field| field.name().to_owned());
    assert_eq!(unknown, required.collect());
}

#[test]
fn the_table_has_a_column_for_every_field() {
    let table = std::fs::read(schemas().join("usage_event.table.json")).unwrap();
    let columns: Vec<Value> = serde_json::from_slice(&table).unwrap();

    let told = columns.iter().map(|column| column["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>();

    assert_eq!(told, schema().fields().map(|field| field.name().to_owned()).collect::<Vec<_>>());
}

#[test]
fn times_and_money_are_written_as_bigquery_reads_them() {
    let event = event(&full());

    assert_eq!(
        (&event["occurred_at"], &event["cost_usd"]),
        (&json!("2026-01-01T00:00:00.123Z"), &json!("1.500000001"))
    );
}
