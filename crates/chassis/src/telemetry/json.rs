//! Log lines as Cloud Logging reads them: `severity`, `message`, `logging.googleapis.com/trace`, and the fields of the
//! event and of every span round it side by side. A span names its trace in a field `trace_id`.

use serde_json::{Map, Value};
use std::{fmt, io::Write};
use tracing::{
    Event, Level, Subscriber,
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

/// What a span or an event says about itself.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl<S, W> Layer<S> for JsonLayer<W>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'writer> MakeWriter<'writer> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let mut fields = Fields::default();
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
        let mut own = Fields::default();
        event.record(&mut own);
        let message = own.0.shift_remove("message").unwrap_or_else(|| metadata.name().into());

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
    fn add(&self, line: &mut Map<String, Value>, fields: &Map<String, Value>) {
        for (name, value) in fields {
            match name.as_str() {
                "trace_id" => {
                    let trace = value.as_str().map(|id| self.trace_name(id)).unwrap_or_default();
                    line.insert("logging.googleapis.com/trace".into(), trace.into());
                }
                "severity" | "time" | "message" | "target" => {
                    line.insert(format!("field.{name}"), value.clone());
                }
                // Instructions to the exporter of traces.
                name if name.starts_with("otel.") => {}
                name => {
                    line.insert(name.to_owned(), value.clone());
                }
            }
        }
    }
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
        self.0.insert(field.name().to_owned(), format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}
