//! What the shell counts: requests in flight and how long each took to begin its answer.

use crate::telemetry::SECONDS;
use http::Method;
use opentelemetry::{
    KeyValue, global,
    metrics::{Histogram, UpDownCounter},
};
use std::time::Duration;

/// Instruments named as OpenTelemetry's conventions for HTTP servers name them.
pub(super) struct HttpMetrics {
    duration: Histogram<f64>,
    active: UpDownCounter<i64>,
}

impl HttpMetrics {
    pub(super) fn new() -> Self {
        let meter = global::meter("tandem.http");
        Self {
            duration: meter
                .f64_histogram("http.server.request.duration")
                .with_unit("s")
                .with_boundaries(SECONDS.to_vec())
                .with_description("Time until the head of the answer")
                .build(),
            active: meter
                .i64_up_down_counter("http.server.active_requests")
                .with_description("Requests whose answer has not ended")
                .build(),
        }
    }

    pub(super) fn answered(&self, method: &Method, route: &str, status: u16, took: Duration) {
        let labels = [
            KeyValue::new("http.request.method", known(method)),
            KeyValue::new("http.route", route.to_owned()),
            KeyValue::new("http.response.status_code", i64::from(status)),
        ];
        self.duration.record(took.as_secs_f64(), &labels);
    }

    /// Counts a request until the guard is dropped.
    pub(super) fn enter(&self) -> InFlight {
        self.active.add(1, &[]);
        InFlight(self.active.clone())
    }
}

pub(super) struct InFlight(UpDownCounter<i64>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.add(-1, &[]);
    }
}

/// A client may invent methods; a label may not grow without end.
fn known(method: &Method) -> &'static str {
    let known = ["GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS"];
    known.into_iter().find(|name| *name == method.as_str()).unwrap_or("_OTHER")
}
