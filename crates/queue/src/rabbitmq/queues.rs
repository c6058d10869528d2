//! The two queues: pointers, and what is none. Limits are left to policies, since arguments can't be changed afterwards.

use domain::{Error, Result};
use lapin::{
    Connection, ErrorKind,
    options::QueueDeclareOptions,
    types::{AMQPValue, FieldTable, ShortString},
};

/// No queue.
const NOT_FOUND: u16 = 404;
/// AMQP allows 255.
const LONGEST_NAME: usize = 200;

/// Their names.
#[derive(Clone)]
pub(super) struct Queues {
    pub(super) pointers: ShortString,
    pub(super) dead: ShortString,
}

impl Queues {
    /// Queues named after `name`.
    ///
    /// # Errors
    /// For a name that the broker would refuse.
    pub(super) fn named(name: &str) -> Result<Self> {
        let is_reserved = name.starts_with("amq.");
        if name.is_empty() || name.len() > LONGEST_NAME || is_reserved || name.contains(char::is_control) {
            let text = format!(
                "doorbell.rabbitmq.queue: 1 to {LONGEST_NAME} bytes that don't begin with `amq.`, not {name:?}"
            );
            return Err(Error::invalid(text));
        }
        Ok(Self { pointers: name.into(), dead: format!("{name}.dead").into() })
    }

    /// Makes them where they are not there. Those that an operator made stay as they are.
    pub(super) async fn declare(&self, connection: &Connection) -> lapin::Result<()> {
        declare(connection, &self.dead, quorum()).await?;
        let mut arguments = quorum();
        arguments.insert("x-dead-letter-exchange".into(), text(""));
        arguments.insert("x-dead-letter-routing-key".into(), text(self.dead.as_str()));
        declare(connection, &self.pointers, arguments).await
    }
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
