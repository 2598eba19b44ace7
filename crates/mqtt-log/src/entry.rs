//! A message as it stands in the log.

use crate::batch::Fate;
use crate::clock;
use crate::draft::Direction;
use crate::error::RepublishError;
use crate::properties;
use mqtt_client::{Message, PropertiesBuf, QoS, ReasonCode, TopicName};
use rusqlite::Row;
use rusqlite::types::Type;
use std::time::SystemTime;

/// One message of the log, from [`LogReader`](crate::LogReader).
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Entry {
    /// Its number in the log: they grow, and none is used twice.
    pub id: i64,
    /// When it was accepted or came, by the clock of the machine.
    pub time: SystemTime,
    /// Whether it was sent or received.
    pub direction: Direction,
    /// Which client.
    pub client_id: String,
    /// The topic.
    pub topic: String,
    /// The payload, or its beginning.
    pub payload: Vec<u8>,
    /// Bytes of the whole payload.
    pub payload_size: u64,
    /// SHA-256 of the whole payload, if only its beginning was kept.
    pub payload_sha256: Option<Vec<u8>>,
    /// The quality of service.
    pub qos: QoS,
    /// The retain flag.
    pub retain: bool,
    /// The DUP flag: received with it, or sent more than once.
    pub dup: bool,
    /// The packet identifier; `None` at QoS 0, and of what was never sent. The last one, if there were several.
    pub packet_id: Option<u16>,
    /// The properties as JSON.
    pub properties: Option<String>,
    /// What became of it; `None` while that is open, or if the program ended before it was known.
    pub outcome: Option<Fate>,
    /// The reason code of its acknowledgement.
    pub reason: Option<ReasonCode>,
    /// What the server said to it, or why the client refused it.
    pub reason_string: Option<String>,
    /// When that was. Of a message that was received: when the application had taken it.
    pub outcome_time: Option<SystemTime>,
}

/// In the order of [`Entry::read`].
pub(crate) const COLUMNS: &str =
    "id, time, direction, client_id, topic, payload, payload_size, payload_sha256, qos, retain, dup,
    packet_id, properties, outcome, reason, reason_string, outcome_time";

impl Entry {
    pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let wrong = |column, found: &str| {
            rusqlite::Error::FromSqlConversionFailure(column, Type::Text, format!("found {found}").into())
        };
        let direction: String = row.get(2)?;
        let outcome: Option<String> = row.get(13)?;
        let qos: u8 = row.get(8)?;
        Ok(Self {
            id: row.get(0)?,
            time: clock::from_micros(row.get(1)?),
            direction: Direction::from_text(&direction).ok_or_else(|| wrong(2, &direction))?,
            client_id: row.get(3)?,
            topic: row.get(4)?,
            payload: row.get(5)?,
            payload_size: row.get::<_, i64>(6)?.unsigned_abs(),
            payload_sha256: row.get(7)?,
            qos: QoS::from_u8(qos).ok_or_else(|| wrong(8, &qos.to_string()))?,
            retain: row.get(9)?,
            dup: row.get(10)?,
            packet_id: row.get(11)?,
            properties: row.get(12)?,
            outcome: match outcome {
                Some(text) => Some(Fate::from_text(&text).ok_or_else(|| wrong(13, &text))?),
                None => None,
            },
            reason: row.get::<_, Option<u8>>(14)?.map(ReasonCode::new),
            reason_string: row.get(15)?,
            outcome_time: row.get::<_, Option<i64>>(16)?.map(clock::from_micros),
        })
    }

    /// Whether it is known that it failed: it was not sent, may not have arrived, or was refused.
    pub fn has_failed(&self) -> bool {
        match self.outcome {
            None | Some(Fate::Sent | Fate::Stored) => false,
            Some(Fate::Acked) => self.reason.is_some_and(ReasonCode::is_error),
            Some(_) => true,
        }
    }

    /// The message to publish it again, with its QoS, retain flag and properties; without identifiers of subscriptions, which
    /// are the server's to give.
    ///
    /// # Errors
    ///
    /// Only the beginning of its payload was kept, or the row is none of this crate's making.
    pub fn message(&self) -> Result<Message, RepublishError> {
        if self.payload_size != self.payload.len() as u64 {
            let (kept, size) = (self.payload.len(), self.payload_size);
            return Err(RepublishError::Truncated { kept, size });
        }
        let topic = TopicName::try_from(self.topic.as_str()).map_err(|_| RepublishError::Invalid("topic"))?;
        let mut message = Message::new(topic, self.payload.clone().into());
        (message.qos, message.retain) = (self.qos, self.retain);
        message.properties = match &self.properties {
            Some(json) => properties::read(json).ok_or(RepublishError::Invalid("properties"))?,
            None => PropertiesBuf::new(),
        };
        Ok(message)
    }
}
