//! Log lines as Cloud Logging reads them: `severity`, `message`, `logging.googleapis.com/trace`, and the fields of the
//! event and of every span round it side by side. A span names its trace in a field `trace_id`.

use serde_json::{Map, Value};
use std::{fmt, io::Write};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    fmt::{
        MakeWriter,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    layer::Context,
    registry::LookupSpan,
};

pub(super) struct JsonLayer<W> {
    writer: W,
    project: Option<String>,
}

impl<W> JsonLayer<W> {
    pub(super) fn new(writer: W, project: Option<String>) -> Self {
        Self { writer, project: project.filter(|project| !project.is_empty()) }
    }

    fn trace_name(&self, trace_id: &str) -> String {
        match &self.project {
            Some(project) => format!("projects/{project}/traces/{trace_id}"),
            None => trace_id.to_owned(),
        }
    }
}

/// What a span or an event says about itself. They are few, and every request makes some: a list is the cheapest map.
struct Fields(Vec<(&'static str, Said)>);

/// What a field says. A third of the size of a JSON value: every open stream keeps some.
enum Said {
    Text(Box<str>),
    Whole(i64),
    Natural(u64),
    Real(f64),
    Truth(bool),
}

impl From<&Said> for Value {
    fn from(said: &Said) -> Self {
        match said {
            Said::Text(text) => (&**text).into(),
            Said::Whole(number) => (*number).into(),
            Said::Natural(number) => (*number).into(),
            Said::Real(number) => (*number).into(),
            Said::Truth(truth) => (*truth).into(),
        }
    }
}

impl Fields {
    /// Room for as many as a span or an event has.
    fn of(metadata: &Metadata<'_>) -> Self {
        Self(Vec::with_capacity(metadata.fields().len()))
    }

    fn set(&mut self, field: &Field, value: Said) {
        let name = field.name();
        if is_for_exporter(field) {
            return;
        }
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.0.push((name, value)),
        }
    }

    fn take(&mut self, name: &str) -> Option<Said> {
        let position = self.0.iter().position(|(known, _)| *known == name)?;
        Some(self.0.remove(position).1)
    }
}

impl<S, W> Layer<S> for JsonLayer<W>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'writer> MakeWriter<'writer> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let mut fields = Fields::of(attributes.metadata());
        attributes.record(&mut fields);
        if let Some(span) = ctx.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        if let Some(span) = ctx.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let metadata = event.metadata();
        let mut own = Fields::of(metadata);
        event.record(&mut own);
        let message = own.take("message").map_or_else(|| metadata.name().into(), |said| Value::from(&said));

        let mut line = Map::new();
        line.insert("severity".into(), severity(*metadata.level()).into());
        line.insert("time".into(), now().into());
        line.insert("message".into(), message);
        line.insert("target".into(), metadata.target().into());
        for span in ctx.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(fields) = span.extensions().get::<Fields>() {
                self.add(&mut line, &fields.0);
            }
        }
        self.add(&mut line, &own.0);

        let mut bytes = serde_json::to_vec(&line).unwrap_or_default();
        bytes.push(b'\n');
        // One write a line, so that lines of several threads don't mix. A log that can't be written has no one to tell.
        let _ = self.writer.make_writer_for(metadata).write_all(&bytes);
    }
}

impl<W> JsonLayer<W> {
    /// Inner fields win over outer ones; nobody overwrites what Cloud Logging gives a meaning.
    fn add(&self, line: &mut Map<String, Value>, fields: &[(&'static str, Said)]) {
        for (name, value) in fields {
            match (*name, value) {
                ("trace_id", Said::Text(id)) => {
                    line.insert("logging.googleapis.com/trace".into(), self.trace_name(id).into());
                }
                ("severity" | "time" | "message" | "target", value) => {
                    line.insert(format!("field.{name}"), value.into());
                }
                (name, value) => {
                    line.insert(name.to_owned(), value.into());
                }
            }
        }
    }
}

/// Whether it is an instruction to the exporter of traces.
fn is_for_exporter(field: &Field) -> bool {
    field.name().starts_with("otel.")
}

fn severity(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        Level::DEBUG | Level::TRACE => "DEBUG",
    }
}

fn now() -> String {
    let mut text = String::with_capacity(32);
    // Writing to a string does not fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    text
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Not formatted in vain: every request has one.
        if !is_for_exporter(field) {
            self.set(field, Said::Text(format!("{value:?}").into()));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, Said::Text(value.into()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, Said::Whole(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, Said::Natural(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, Said::Real(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, Said::Truth(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io,
        sync::{Arc, Mutex},
    };
    use tracing_subscriber::{Registry, layer::SubscriberExt};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The one line that `log` writes.
    fn line(project: Option<&str>, log: impl FnOnce()) -> Value {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = JsonLayer::new(move || writer.clone(), project.map(str::to_owned));
        tracing::subscriber::with_default(Registry::default().with(layer), log);
        let bytes = lines.0.lock().unwrap().clone();
        assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 1);
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn a_line_has_the_fields_that_cloud_logging_reads() {
        let line = line(None, || tracing::warn!(count = 3, name = "x", ready = true, "disk is {}", "full"));

        assert_eq!(line["severity"], "WARNING");
        assert_eq!(line["message"], "disk is full");
        assert_eq!(line["count"], 3);
        assert_eq!(line["name"], "x");
        assert_eq!(line["ready"], true);
        let time = line["time"].as_str().unwrap();
        assert!(time.ends_with('Z') && time.contains('T'), "{time}");
    }

    #[test]
    fn a_line_carries_the_names_of_the_spans_round_it() {
        let line = line(Some("my-project"), || {
            let span = tracing::error_span!(
                "request",
                request_id = "req_1",
                otel.name = "GET /",
                trace_id = tracing::field::Empty
            );
            span.record("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736");
            span.in_scope(|| tracing::info_span!("call", model = "m").in_scope(|| tracing::info!("called")));
        });

        assert_eq!(line["request_id"], "req_1");
        assert_eq!(line["model"], "m");
        let trace = "projects/my-project/traces/4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(line["logging.googleapis.com/trace"], trace);
        assert!(line.get("otel.name").is_none() && line.get("trace_id").is_none(), "{line}");
    }

    #[test]
    fn a_field_cannot_take_the_place_of_the_severity() {
        let line = line(None, || tracing::error!(severity = "none", "broken"));

        assert_eq!(line["severity"], "ERROR");
        assert_eq!(line["field.severity"], "none");
    }
}
