//! Webhooks: an event is on its way as soon as it happened, to whom it may concern, and until it has arrived.

use crate::database::{Db, LEASE_MS, on_both};
use domain::{
    AttemptOutcome, BatchEventKind, DeliveryId, DeliveryStatus, DisabledReason, Kind, TenantId, WebhookId, WorkerId,
};
use store::{
    AttemptSaid, AuditQuery, Author, ClaimedDelivery, DeliveryRow, NewWebhook, SealedSecret, Verdict, WebhookPatch,
    WebhookRow,
};

on_both!(
    an_event_goes_to_those_of_its_tenant_that_want_it,
    a_deleted_webhook_takes_its_deliveries_with_it,
    a_claimed_delivery_is_held_until_it_is_recorded,
    who_died_after_claiming_loses_it_to_the_next,
    who_was_too_slow_records_nothing,
    a_slow_webhook_has_no_more_places_than_it_may,
    a_webhook_that_is_gone_is_disabled_and_gets_nothing,
    a_webhook_that_fails_for_long_is_disabled_when_a_delivery_is_given_up,
    a_success_ends_the_time_of_failing,
    a_secret_signs_along_for_its_grace,
    an_ended_delivery_is_repeated_with_the_same_event,
    a_pending_delivery_is_hurried,
    a_tenant_has_so_many_webhooks_and_no_more,
    strangers_see_and_change_nothing,
    deliveries_are_paged_with_their_attempts,
    old_deliveries_are_removed,
    changes_are_recorded_without_secrets,
);

const HOLD_MS: i64 = 60_000;
const ALL: (i64, i64) = (10, 10);

fn author() -> Author {
    Author { actor: "key_test".to_owned(), request_id: None }
}

fn new_webhook(tenant: &TenantId, events: &[BatchEventKind]) -> NewWebhook {
    NewWebhook {
        id: WebhookId::generate(),
        tenant: tenant.clone(),
        url: "https://hooks.example.com/tandem?token=abc".to_owned(),
        description: String::new(),
        events: events.to_vec(),
        is_enabled: true,
        secret: SealedSecret("first".to_owned()),
    }
}

async fn webhook(db: &Db, events: &[BatchEventKind]) -> WebhookRow {
    let new = new_webhook(&db.tenant().await, events);
    db.store.create_webhook(&author(), &new, 100).await.unwrap()
}

async fn deliveries(db: &Db, webhook: &WebhookRow) -> Vec<DeliveryRow> {
    db.store.list_deliveries(&webhook.id, None, (None, 100)).await.unwrap().0
}

/// A batch whose input is refused: one event.
async fn fail_a_batch(db: &Db) -> String {
    let batch = db.batch().await;
    let lease = db.store.claim_batch(&batch.id, &WorkerId::generate(), LEASE_MS).await.unwrap().unwrap();
    assert!(db.store.fail_validation(&lease, "[]").await.unwrap());
    batch.id.to_string()
}

async fn claim(db: &Db, webhook: &WebhookRow) -> Vec<ClaimedDelivery> {
    db.store.claim_deliveries(&webhook.id, ALL, HOLD_MS).await.unwrap()
}

async fn claim_one(db: &Db, webhook: &WebhookRow) -> ClaimedDelivery {
    let claimed = claim(db, webhook).await;
    assert_eq!(claimed.len(), 1);
    claimed.into_iter().next().unwrap()
}

async fn record(db: &Db, claimed: &ClaimedDelivery, verdict: Verdict) -> Option<DisabledReason> {
    let (outcome, http_status) = match verdict {
        Verdict::Arrived => (AttemptOutcome::Delivered, 200),
        Verdict::Unwanted => (AttemptOutcome::Gone, 410),
        _ => (AttemptOutcome::Refused, 500),
    };
    let said = AttemptSaid { outcome, http_status: Some(http_status), took_ms: 7, detail: "a\0b".to_owned() };
    db.store.record_attempt(claimed, &said, verdict).await.unwrap()
}

async fn now(db: &Db, webhook: &WebhookRow) -> WebhookRow {
    db.store.webhook(&webhook.tenant, &webhook.id).await.unwrap().unwrap()
}

async fn an_event_goes_to_those_of_its_tenant_that_want_it(db: Db) {
    let wants = webhook(&db, &[BatchEventKind::Failed, BatchEventKind::Completed]).await;
    let wants_other = webhook(&db, &[BatchEventKind::Completed]).await;
    let disabled = webhook(&db, &[BatchEventKind::Failed]).await;
    let patch = WebhookPatch { is_enabled: Some(false), ..WebhookPatch::default() };
    db.store.patch_webhook(&author(), (&disabled.tenant, &disabled.id), &patch).await.unwrap();
    let other = db.store.ensure_tenant("other").await.unwrap().id;
    let stranger =
        db.store.create_webhook(&author(), &new_webhook(&other, &[BatchEventKind::Failed]), 9).await.unwrap();

    let batch = fail_a_batch(&db).await;

    let told = deliveries(&db, &wants).await;
    let event = &db.store.batch_events(&domain::BatchId::from_string(&batch)).await.unwrap()[0];
    assert_eq!((told.len(), &told[0].event, told[0].status), (1, &event.id, DeliveryStatus::Pending));
    let seconds = event.created_at_ms / 1_000;
    let payload = format!(
        r#"{{"id":"{}","object":"event","type":"batch.failed","created_at":{seconds},"data":{{"id":"{batch}"}}}}"#,
        event.id
    );
    assert_eq!(told[0].payload, payload);
    for nobody in [&wants_other, &disabled, &stranger] {
        assert!(deliveries(&db, nobody).await.is_empty());
    }
}

async fn a_deleted_webhook_takes_its_deliveries_with_it(db: Db) {
    let webhook = webhook(&db, &[BatchEventKind::Failed]).await;
    fail_a_batch(&db).await;
    let claimed = claim_one(&db, &webhook).await;

    assert!(db.store.delete_webhook(&author(), &webhook.tenant, &webhook.id).await.unwrap());
    fail_a_batch(&db).await;

    assert!(!db.store.delete_webhook(&author(), &webhook.tenant, &webhook.id).await.unwrap());
    assert_eq!(record(&db, &claimed, Verdict::Arrived).await, None);
    assert!(deliveries(&db, &webhook).await.is_empty());
}

async fn a_claimed_delivery_is_held_until_it_is_recorded(db: Db) {
    let webhook = webhook(&db, &[BatchEventKind::Failed]).await;
    fail_a_batch(&db).await;
    assert_eq!(db.store.due_webhooks(1, 10).await.unwrap(), std::slice::from_ref(&webhook.id));

    let claimed = claim_one(&db, &webhook).await;

    assert_eq!((claimed.attempts, &claimed.url, &claimed.secret), (0, &webhook.url, &SealedSecret("first".to_owned())));
    assert!(claim(&db, &webhook).await.is_empty());
    assert!(db.store.due_webhooks(9, 10).await.unwrap().is_empty());
    record(&db, &claimed, Verdict::Again(0)).await;
    let again = claim_one(&db, &webhook).await;
    assert_eq!((again.attempts, &again.event, &again.payload), (1, &claimed.event, &claimed.payload));
    record(&db, &again, Verdict::Arrived).await;
    assert!(claim(&db, &webhook).await.is_empty());
    let ended = &deliveries(&db, &webhook).await[0];
    assert_eq!((ended.status, ended.next_at_ms, ended.ended_at_ms.is_some()), (DeliveryStatus::Delivered, None, true));
    let outcomes: Vec<_> = ended.attempts.iter().map(|attempt| (attempt.outcome, attempt.http_status)).collect();
    assert_eq!(outcomes, [(AttemptOutcome::Refused, Some(500)), (AttemptOutcome::Delivered, Some(200))]);
}

async fn who_died_after_claiming_loses_it_to_the_next(db: Db) {
    let webhook = webhook(&db, &[BatchEventKind::Failed]).await;
    fail_a_batch(&db).await;
    let died = db.store.claim_deliveries(&webhook.id, ALL, -1).await.unwrap();

    let next = claim_one(&db, &webhook).await;

    assert_eq!((&next.id, &next.event, next.attempts), (&died[0].id, &died[0].event, 0));
}

async fn who_was_too_slow_records_nothing(db: Db) {
    let webhook = webhook(&db, &[BatchEventKind::Failed]).await;
    fail_a_batch(&db).await;
    let slow = db.store.claim_deliveries(&webhook.id, ALL, -1).await.unwrap().remove(0);
    let next = claim_one(&db, &webhook).await;

    record(&db, &slow, Verdict::GivenUp(0)).await;
    record(&db, &next, Verdict::Arrived).await;

    let ended = &deliveries(&db, &webhook).await[0];
    assert_eq!((ended.status, ended.attempts.len()), (DeliveryStatus::Delivered, 1));
    assert!(now(&db, &webhook).await.is_enabled);
}

async fn a_slow_webhook_has_no_more_places_than_it_may(db: Db) {
    let slow = webhook(&db, &[BatchEventKind::Failed]).await;
    let fast = webhook(&db, &[BatchEventKind::Failed]).await;
    for _ in 0..4 {
        fail_a_batch(&db).await;
    }

    let first = db.store.claim_deliveries(&slow.id, (3, 2), HOLD_MS).await.unwrap();
    let second = db.store.claim_deliveries(&slow.id, (3, 2), HOLD_MS).await.unwrap();

    assert_eq!((first.len(), second.len()), (2, 1));
    assert_eq!(db.store.due_webhooks(3, 10).await.unwrap(), std::slice::from_ref(&fast.id));
    record(&db, &first[0], Verdict::Again(HOLD_MS)).await;
    record(&db, &first[1], Verdict::Again(HOLD_MS)).await;
    // The last attempt failed, and one is under way: that is as many as a failing webhook has.
    assert!(claim(&db, &slow).await.is_empty());
    record(&db, &second[0], Verdict::Arrived).await;
    assert_eq!(claim(&db, &slow).await.len(), 1);
    assert_eq!(claim(&db, &fast).await.len(), 4);
}

async fn a_webhook_that_is_gone_is_disabled_and_gets_nothing(db: Db) {
    let webhook = webhook(&db, &[BatchEventKind::Failed]).await;
    fail_a_batch(&db).await;
    fail_a_batch(&db).await;
    let claimed = db.store.claim_deliveries(&webhook.id, (1, 1), HOLD_MS).await.unwrap().remove(0);

    assert_eq!(record(&db, &claimed, Verdict::Unwanted).await, Some(DisabledReason::Gone));
    fail_a_batch(&db).await;

    let disabled = now(&db, &webhook).await;
    assert_eq!((disabled.is_enabled, disabled.disabled_reason), (false, Some(DisabledReason::Gone)));
    assert!(claim(&db, &webhook).await.is_empty());
    assert_eq!(deliveries(&db, &webhook).await.len(), 2);
    assert_eq!(db.store.test_webhook(&disabled).await.unwrap_err().kind(), Kind::Conflict);
    assert_eq!(db.store.deliveries_state().await.unwrap().waiting, 0);
    let patch = WebhookPatch { is_enabled: Some(true), ..WebhookPatch::default() };
    let key = (&webhook.tenant, &webhook.id);
    let enabled = db.store.patch_webhook(&author(), key, &patch).await.unwrap().unwrap();
    assert_eq!((enabled.disabled_reason, enabled.failing_since_ms), (None, None));
    assert_eq!(claim(&db, &webhook).await.len(), 1);
}

async fn a_webhook_that_fails_for_long_is_disabled_when_a_delivery_is_given_up(db: Db) {
    let webhook = webhook(&db, &[BatchEventKind::Failed]).await;
    for _ in 0..3 {
        fail_a_batch(&db).await;
    }

    let first = db.store.claim_deliveries(&webhook.id, (1, 1), HOLD_MS).await.unwrap().remove(0);
    assert_eq!(record(&db, &first, Verdict::GivenUp(HOLD_MS)).await, None);
    let since = now(&db, &webhook).await.failing_since_ms;
    let second = claim_one(&db, &webhook).await;
    assert_eq!(record(&db, &second, Verdict::Again(HOLD_MS)).await, None);
    assert_eq!((now(&db, &webhook).await.failing_since_ms, since.is_some()), (since, true));
    let third = claim_one(&db, &webhook).await;

    assert_eq!(record(&db, &third, Verdict::GivenUp(0)).await, Some(DisabledReason::Failing));

    assert_eq!(now(&db, &webhook).await.disabled_reason, Some(DisabledReason::Failing));
}

async fn a_success_ends_the_time_of_failing(db: Db) {
    let webhook = webhook(&db, &[BatchEventKind::Failed]).await;
    fail_a_batch(&db).await;
    record(&db, &claim_one(&db, &webhook).await, Verdict::Again(0)).await;
    assert!(now(&db, &webhook).await.failing_since_ms.is_some());

    record(&db, &claim_one(&db, &webhook).await, Verdict::Arrived).await;

    assert_eq!(now(&db, &webhook).await.failing_since_ms, None);
}

async fn a_secret_signs_along_for_its_grace(db: Db) {
    let webhook = webhook(&db, &[BatchEventKind::Failed]).await;
    let key = (&webhook.tenant, &webhook.id);
    let rotate = async |secret: &str, grace_ms| {
        let secret = SealedSecret(secret.to_owned());
        let rotated = db.store.rotate_webhook_secret(&author(), key, &secret, grace_ms).await.unwrap().unwrap();
        assert!(rotated.old_secret_until_ms.is_some());
        fail_a_batch(&db).await;
        let claimed = claim_one(&db, &webhook).await;
        record(&db, &claimed, Verdict::Arrived).await;
        (claimed.secret.0, claimed.old_secret.map(|secret| secret.0))
    };

    assert_eq!(rotate("second", HOLD_MS).await, ("second".to_owned(), Some("first".to_owned())));
    assert_eq!(rotate("third", HOLD_MS).await, ("third".to_owned(), Some("second".to_owned())));
    assert_eq!(rotate("fourth", 0).await, ("fourth".to_owned(), None));
}

async fn an_ended_delivery_is_repeated_with_the_same_event(db: Db) {
    let webhook = webhook(&db, &[BatchEventKind::Failed]).await;
    fail_a_batch(&db).await;
    let claimed = claim_one(&db, &webhook).await;
    record(&db, &claimed, Verdict::GivenUp(HOLD_MS)).await;

    let repeated = db.store.replay_delivery(&webhook, &claimed.id).await.unwrap().unwrap();

    assert_eq!((repeated.status, &repeated.event), (DeliveryStatus::Pending, &claimed.event));
    assert_eq!((&repeated.payload, repeated.replay_of.as_ref()), (&claimed.payload, Some(&claimed.id)));
    assert_eq!(claim_one(&db, &webhook).await.id, repeated.id);
    let unknown = db.store.replay_delivery(&webhook, &DeliveryId::generate()).await.unwrap();
    assert_eq!(unknown, None);
}

async fn a_pending_delivery_is_hurried(db: Db) {
    let webhook = webhook(&db, &[BatchEventKind::Failed]).await;
    fail_a_batch(&db).await;
    let claimed = claim_one(&db, &webhook).await;
    record(&db, &claimed, Verdict::Again(HOLD_MS)).await;
    assert!(claim(&db, &webhook).await.is_empty());

    let hurried = db.store.replay_delivery(&webhook, &claimed.id).await.unwrap().unwrap();

    assert_eq!((&hurried.id, hurried.attempts.len()), (&claimed.id, 1));
    assert_eq!(claim_one(&db, &webhook).await.attempts, 1);
}

async fn a_tenant_has_so_many_webhooks_and_no_more(db: Db) {
    let tenant = db.tenant().await;
    for _ in 0..2 {
        db.store.create_webhook(&author(), &new_webhook(&tenant, &[]), 2).await.unwrap();
    }

    let error = db.store.create_webhook(&author(), &new_webhook(&tenant, &[]), 2).await.unwrap_err();

    assert_eq!((error.kind(), error.code()), (Kind::Conflict, Some("too_many_webhooks")));
}

async fn strangers_see_and_change_nothing(db: Db) {
    let webhook = webhook(&db, &[BatchEventKind::Failed]).await;
    let stranger = db.store.ensure_tenant("stranger").await.unwrap().id;
    let (key, secret) = ((&stranger, &webhook.id), SealedSecret("theirs".to_owned()));
    let patch = WebhookPatch { url: Some("https://evil.example".to_owned()), ..WebhookPatch::default() };

    assert_eq!(db.store.webhook(key.0, key.1).await.unwrap(), None);
    assert_eq!(db.store.patch_webhook(&author(), key, &patch).await.unwrap(), None);
    assert_eq!(db.store.rotate_webhook_secret(&author(), key, &secret, 0).await.unwrap(), None);
    assert!(!db.store.delete_webhook(&author(), key.0, key.1).await.unwrap());
    assert!(db.store.list_webhooks(&stranger, None, 10).await.unwrap().0.is_empty());
    assert_eq!(now(&db, &webhook).await, webhook);
}

async fn deliveries_are_paged_with_their_attempts(db: Db) {
    let webhook = webhook(&db, &[BatchEventKind::Failed]).await;
    for _ in 0..3 {
        fail_a_batch(&db).await;
    }
    for claimed in claim(&db, &webhook).await.iter().take(2) {
        record(&db, claimed, Verdict::Arrived).await;
    }

    let (first, has_more) = db.store.list_deliveries(&webhook.id, None, (None, 2)).await.unwrap();
    let after = first.last().map(|delivery| &delivery.id);
    let (second, is_more) = db.store.list_deliveries(&webhook.id, None, (after, 2)).await.unwrap();
    let arrived = Some(DeliveryStatus::Delivered);
    let (arrived, _) = db.store.list_deliveries(&webhook.id, arrived, (None, 9)).await.unwrap();

    assert_eq!((first.len(), has_more, second.len(), is_more), (2, true, 1, false));
    assert_eq!(arrived.iter().map(|delivery| delivery.attempts.len()).collect::<Vec<_>>(), [1, 1]);
}

async fn old_deliveries_are_removed(db: Db) {
    let webhook = webhook(&db, &[BatchEventKind::Failed]).await;
    fail_a_batch(&db).await;
    record(&db, &claim_one(&db, &webhook).await, Verdict::Arrived).await;

    assert_eq!(db.store.purge_deliveries(HOLD_MS, 10).await.unwrap(), 0);
    assert_eq!(db.store.purge_deliveries(-1_000, 10).await.unwrap(), 1);

    assert!(deliveries(&db, &webhook).await.is_empty());
}

async fn changes_are_recorded_without_secrets(db: Db) {
    let webhook = webhook(&db, &[BatchEventKind::Failed]).await;
    let key = (&webhook.tenant, &webhook.id);
    let secret = SealedSecret("second-secret".to_owned());
    db.store.rotate_webhook_secret(&author(), key, &secret, HOLD_MS).await.unwrap();

    let query = AuditQuery { target: Some(webhook.id.to_string()), ..AuditQuery::default() };
    let (records, _) = db.store.list_audit(&query, None, 10).await.unwrap();

    let actions: Vec<_> = records.iter().map(|record| record.action.as_str()).collect();
    assert_eq!(actions, ["webhook.rotate_secret", "webhook.create"]);
    let text = format!("{records:?}");
    assert!(!text.contains("second-secret") && !text.contains("first") && !text.contains("token=abc"), "{text}");
    assert!(text.contains("https://hooks.example.com"), "{text}");
}
