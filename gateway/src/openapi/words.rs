//! Values that are one of a few words, which the code itself lists.

use domain::{
    AttemptOutcome, BatchEventKind, BatchStatus, DeliveryStatus, DisabledReason, Endpoint, LimitKind, Priority, Scope,
    SubjectKind,
};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr, Schema,
        schema::{ObjectBuilder, Type},
    },
};

fn one_of<const N: usize>(words: [&str; N]) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words)).into()
}

/// What a key may do.
pub(crate) struct ScopeWord;

impl PartialSchema for ScopeWord {
    fn schema() -> RefOr<Schema> {
        one_of(Scope::ALL.map(Scope::as_str))
    }
}

impl ToSchema for ScopeWord {}

/// What a limit counts.
pub(crate) struct LimitKindWord;

impl PartialSchema for LimitKindWord {
    fn schema() -> RefOr<Schema> {
        one_of(LimitKind::ALL.map(LimitKind::as_str))
    }
}

impl ToSchema for LimitKindWord {}

/// Whom a limit binds.
pub(crate) struct SubjectKindWord;

impl PartialSchema for SubjectKindWord {
    fn schema() -> RefOr<Schema> {
        one_of(SubjectKind::ALL.map(SubjectKind::as_str))
    }
}

impl ToSchema for SubjectKindWord {}

/// How far a batch is.
pub(crate) struct BatchStatusWord;

impl PartialSchema for BatchStatusWord {
    fn schema() -> RefOr<Schema> {
        one_of(BatchStatus::ALL.map(BatchStatus::as_str))
    }
}

impl ToSchema for BatchStatusWord {}

/// What the lines of a batch may call.
pub(crate) struct EndpointWord;

impl PartialSchema for EndpointWord {
    fn schema() -> RefOr<Schema> {
        one_of(Endpoint::ALL.map(Endpoint::as_str))
    }
}

impl ToSchema for EndpointWord {}

/// What goes first among the batches of a tenant.
pub(crate) struct PriorityWord;

impl PartialSchema for PriorityWord {
    fn schema() -> RefOr<Schema> {
        one_of(Priority::ALL.map(Priority::as_str))
    }
}

impl ToSchema for PriorityWord {}

/// The order of a list by time.
pub(crate) struct OrderWord;

impl PartialSchema for OrderWord {
    fn schema() -> RefOr<Schema> {
        one_of(["asc", "desc"])
    }
}

impl ToSchema for OrderWord {}

/// The form of a report.
pub(crate) struct FormatWord;

impl PartialSchema for FormatWord {
    fn schema() -> RefOr<Schema> {
        one_of(["json", "csv"])
    }
}

impl ToSchema for FormatWord {}

/// What happens to a batch that a webhook may want to hear.
pub(crate) struct EventWord;

impl PartialSchema for EventWord {
    fn schema() -> RefOr<Schema> {
        one_of(BatchEventKind::ALL.map(BatchEventKind::as_str))
    }
}

impl ToSchema for EventWord {}

/// How far a delivery is.
pub(crate) struct DeliveryStatusWord;

impl PartialSchema for DeliveryStatusWord {
    fn schema() -> RefOr<Schema> {
        one_of(DeliveryStatus::ALL.map(DeliveryStatus::as_str))
    }
}

impl ToSchema for DeliveryStatusWord {}

/// How an attempt ended.
pub(crate) struct AttemptOutcomeWord;

impl PartialSchema for AttemptOutcomeWord {
    fn schema() -> RefOr<Schema> {
        one_of(AttemptOutcome::ALL.map(AttemptOutcome::as_str))
    }
}

impl ToSchema for AttemptOutcomeWord {}

/// Why the platform disabled a webhook.
pub(crate) struct DisabledReasonWord;

impl PartialSchema for DisabledReasonWord {
    fn schema() -> RefOr<Schema> {
        one_of(DisabledReason::ALL.map(DisabledReason::as_str))
    }
}

impl ToSchema for DisabledReasonWord {}
