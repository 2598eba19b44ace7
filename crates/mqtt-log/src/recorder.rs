//! What the client's task does for the log: it takes notes.

use crate::batch::{Batch, Fate, KEPT, LARGE, Load, Note, Shape};
use crate::clock;
use crate::draft::Direction;
use crate::properties;
use crate::queue::{Loss, Queue};
use mqtt_client::{Message, Outcome, Record};
use std::collections::HashSet;
use std::sync::Arc;

#[derive(Debug)]
pub(crate) struct Recorder {
    queue: Arc<Queue>,
    batch: Batch,
    /// What may be added to the batch.
    room: Load,
    /// It was asked for anew in this turn.
    asked: bool,
    /// The time of this turn of the client's task is noted.
    turned: bool,
    /// Messages that found no room in this turn.
    lost: u64,
    /// Those of them of which more is to come: that is not to be noted either.
    unlogged: HashSet<(u64, bool)>,
}

impl Recorder {
    pub(crate) fn new(queue: Arc<Queue>, source: u64) -> Self {
        let room = queue.room();
        let batch = Batch { source, ..Batch::default() };
        Self { queue, batch, room, asked: false, turned: false, lost: 0, unlogged: HashSet::new() }
    }

    pub(crate) fn record(&mut self, record: Record<'_>) {
        match record {
            Record::Client { id } => self.client(id),
            Record::Accepted { number, message } => self.message(Direction::Out, number, 0, message),
            Record::Transmitted { number, packet_id, dup } if self.is_logged(number, Direction::Out) => {
                let packet_id = packet_id.get();
                self.batch.notes.push(Note::Transmitted { number, packet_id, dup });
            }
            Record::Completed { number, outcome } => self.completed(number, outcome),
            Record::Received { message, receipt } => {
                // Received messages are counted from 0 on.
                let number = receipt.map_or(0, |receipt| receipt.number.wrapping_add(1));
                let packet_id = receipt.map_or(0, |receipt| receipt.packet_id.get());
                self.message(Direction::In, number, packet_id, message);
            }
            Record::Acknowledged { number, reason } => {
                self.settled(number.wrapping_add(1), Direction::In, Fate::Acked, Some(reason.value()), "");
            }
            _ => {}
        }
    }

    pub(crate) fn flush(&mut self) {
        self.turned = false;
        self.asked = false;
        if self.batch.notes.is_empty() && self.lost == 0 {
            return;
        }
        let lost = core::mem::take(&mut self.lost);
        let loss = (lost > 0).then(|| Loss {
            client_id: self.batch.client_id.clone(),
            at: clock::now(),
            messages: lost,
        });
        self.room = self.queue.hand_over(&mut self.batch, loss);
    }

    fn client(&mut self, id: &str) {
        if self.batch.client_id.as_deref() != Some(id) {
            self.flush();
            self.batch.client_id = Some(id.into());
        }
        self.unlogged.retain(|(_, out)| *out);
        self.batch.notes.push(Note::Connected);
    }

    #[inline]
    fn message(&mut self, direction: Direction, number: u64, packet_id: u16, message: &Message) {
        let bytes = message.topic.len() + message.payload.len() + message.properties.len();
        if !self.room.takes(bytes) && !self.finds_room(bytes) {
            self.lost += 1;
            self.unlogged.extend((number > 0).then_some((number, direction == Direction::Out)));
            return;
        }
        self.begin_turn();
        let load = Load { messages: 1, bytes };
        self.room = self.room.without(load);
        let Batch { notes, bytes, large, load: total, .. } = &mut self.batch;
        *total = total.and(load);
        bytes.extend_from_slice(message.topic.as_bytes());
        let payload = if message.payload.len() <= LARGE {
            bytes.extend_from_slice(&message.payload);
            message.payload.len() as u32
        } else {
            large.push_back(message.payload.clone());
            KEPT
        };
        let before = bytes.len();
        if !message.properties.is_empty() {
            properties::write(message.properties.view(), bytes);
        }
        let shape = Shape {
            direction,
            qos: message.qos,
            retain: message.retain,
            dup: message.dup && direction == Direction::In,
            topic: message.topic.len() as u32,
            payload,
            properties: (bytes.len() - before) as u32,
        };
        notes.push(Note::Message { number, packet_id, shape });
    }

    /// Once in a turn it is worth to ask what was written meanwhile.
    #[cold]
    fn finds_room(&mut self, bytes: usize) -> bool {
        if !core::mem::replace(&mut self.asked, true) {
            self.room = self.queue.room().without(self.batch.load);
        }
        self.room.takes(bytes)
    }

    /// One look at the clock is enough for all that happens in one turn.
    fn begin_turn(&mut self) {
        if !core::mem::replace(&mut self.turned, true) {
            self.batch.notes.push(Note::Turn(clock::now()));
        }
    }

    fn completed(&mut self, number: u64, outcome: &Outcome) {
        let out = Direction::Out;
        match outcome {
            Outcome::Sent => self.settled(number, out, Fate::Sent, None, ""),
            Outcome::Acked { reason, properties } => {
                let words = match properties.is_empty() {
                    true => "",
                    false => properties.view().reason_string().unwrap_or_default(),
                };
                self.settled(number, out, Fate::Acked, Some(reason.value()), words);
            }
            Outcome::NotSent => self.settled(number, out, Fate::NotSent, None, ""),
            Outcome::Expired => self.settled(number, out, Fate::Expired, None, ""),
            Outcome::Dropped => self.settled(number, out, Fate::Dropped, None, ""),
            Outcome::SetAside { .. } => self.settled(number, out, Fate::SetAside, None, ""),
            Outcome::Stored => self.settled(number, out, Fate::Stored, None, ""),
            Outcome::SessionLost => self.settled(number, out, Fate::SessionLost, None, ""),
            Outcome::Refused(error) => self.settled(number, out, Fate::Refused, None, &error.to_string()),
            _ => self.settled(number, out, Fate::Unknown, None, ""),
        }
    }

    #[inline]
    fn settled(&mut self, number: u64, direction: Direction, fate: Fate, reason: Option<u8>, words: &str) {
        let logged = self.is_logged(number, direction);
        if !logged {
            self.unlogged.remove(&(number, direction == Direction::Out));
            return;
        }
        self.begin_turn();
        self.batch.bytes.extend_from_slice(words.as_bytes());
        let words = words.len() as u32;
        self.batch.notes.push(Note::Settled { number, direction, fate, reason, words });
    }

    fn is_logged(&self, number: u64, direction: Direction) -> bool {
        self.unlogged.is_empty() || !self.unlogged.contains(&(number, direction == Direction::Out))
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.batch.notes.push(Note::Gone);
        self.flush();
    }
}
