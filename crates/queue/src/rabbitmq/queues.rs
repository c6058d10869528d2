//! Our queues, each with one for what can't be used; and the exchange for events. Limits are left to policies, since arguments can't
//! be changed afterwards.

use domain::{Error, Result};
use lapin::{
    Connection, ErrorKind, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable, ShortString},
};

/// No queue.
const NOT_FOUND: u16 = 404;
/// AMQP allows 255.
const LONGEST_NAME: usize = 200;

/// Their names.
#[derive(Clone)]
pub(super) struct Queues {
    pub(super) main: ShortString,
    pub(super) dead: ShortString,
}

impl Queues {
    /// Queues named after `name`, which is the setting `key`.
    ///
    /// # Errors
    /// For a name that the broker would refuse.
    pub(super) fn named(key: &str, name: &str) -> Result<Self> {
        Ok(Self { main: judge_name(key, name)?, dead: format!("{name}.dead").into() })
    }

    /// Makes them where they are not there. Those that an operator made stay as they are.
    pub(super) async fn declare(&self, connection: &Connection) -> lapin::Result<()> {
        declare(connection, &self.dead, quorum()).await?;
        let mut arguments = quorum();
        arguments.insert("x-dead-letter-exchange".into(), text(""));
        arguments.insert("x-dead-letter-routing-key".into(), text(self.dead.as_str()));
        declare(connection, &self.main, arguments).await
    }
}

/// What a connection that publishes needs to be there.
#[derive(Clone)]
pub(super) enum Topology {
    Queues(Queues),
    /// An exchange that gives messages to whichever queues are bound to their topics.
    Exchange(ShortString),
}

impl Topology {
    /// Makes it where it is not there.
    pub(super) async fn declare(&self, connection: &Connection) -> lapin::Result<()> {
        match self {
            Self::Queues(queues) => queues.declare(connection).await,
            Self::Exchange(name) => {
                let channel = connection.create_channel().await?;
                let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
                channel.exchange_declare(name.clone(), ExchangeKind::Topic, durable, FieldTable::default()).await?;
                channel.close(200, "OK".into()).await
            }
        }
    }
}

/// A name for a queue or an exchange.
///
/// # Errors
/// For one that the broker would refuse.
pub(super) fn judge_name(key: &str, name: &str) -> Result<ShortString> {
    let is_reserved = name.starts_with("amq.");
    if name.is_empty() || name.len() > LONGEST_NAME || is_reserved || name.contains(char::is_control) {
        let text = format!("{key}: 1 to {LONGEST_NAME} bytes that don't begin with `amq.`, not {name:?}");
        return Err(Error::invalid(text));
    }
    Ok(name.into())
}

async fn declare(connection: &Connection, name: &ShortString, arguments: FieldTable) -> lapin::Result<()> {
    let durable = QueueDeclareOptions::durable();
    let probe = connection.create_channel().await?;
    match probe.queue_declare(name.clone(), durable.passive(), FieldTable::default()).await {
        Ok(_) => return probe.close(200, "OK".into()).await,
        // The answer has closed the channel.
        Err(error) if matches!(error.kind(), ErrorKind::ProtocolError(why) if why.get_id() == NOT_FOUND) => {}
        Err(error) => return Err(error),
    }
    let channel = connection.create_channel().await?;
    channel.queue_declare(name.clone(), durable, arguments).await?;
    channel.close(200, "OK".into()).await
}

fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("quorum"));
    arguments
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}
