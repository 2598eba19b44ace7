//! Notes put together to rows, before they are written: what became of a message is mostly known by then.

use crate::batch::{Batch, KEPT, Note, Settlement, Shape};
use crate::clock;
use crate::draft::{Direction, Draft};
use crate::options::{Redact, Verdict};
use bytes::Bytes;
use core::ops::Range;
use core::str::from_utf8;
use foldhash::fast::RandomState;
use mqtt_client::QoS;
use std::collections::HashMap;

/// What is to be written with the next transaction.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    pub(crate) batches: Vec<Batch>,
    pub(crate) rows: Vec<Row>,
    pub(crate) updates: Vec<Update>,
    /// Messages that the hook dropped.
    pub(crate) redacted: u64,
}

/// A message that is not in the database yet.
#[derive(Debug)]
pub(crate) struct Row {
    batch: usize,
    key: Option<Key>,
    pub(crate) at: i64,
    pub(crate) direction: Direction,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) dup: bool,
    pub(crate) packet_id: u16,
    topic: Range<usize>,
    payload: Payload,
    properties: Range<usize>,
    pub(crate) settlement: Option<Settlement>,
    words: Words,
    /// What the hook has made of it.
    draft: Option<Box<Draft>>,
}

#[derive(Debug)]
enum Payload {
    Copied(Range<usize>),
    Kept(Bytes),
}

/// Where the words of the server are: in which batch, and where there.
type Words = Option<(usize, Range<usize>)>;

/// News of a message that is in the database.
#[derive(Debug)]
pub(crate) struct Update {
    pub(crate) id: i64,
    pub(crate) news: News,
    words: Words,
}

#[derive(Debug)]
pub(crate) enum News {
    Transmitted { packet_id: u16, dup: bool },
    Settled(Settlement),
}

/// Names a message of which there is more to come: the client, its number, and whether it goes out.
type Key = (u64, u64, bool);

/// Where the messages are of which there is more to come.
#[derive(Debug, Default)]
pub(crate) struct Open(HashMap<Key, Place, RandomState>);

#[derive(Clone, Copy, Debug)]
enum Place {
    /// Among the rows that are pending.
    Pending(usize),
    /// In the database.
    Row(i64),
}

impl Pending {
    /// Whether there is nothing to write.
    pub(crate) const fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.updates.is_empty()
    }

    /// Takes in what clients have noted.
    pub(crate) fn absorb(&mut self, batches: Vec<Batch>, open: &mut Open, redact: &mut Option<Redact>) {
        for batch in batches {
            self.absorb_batch(batch, open, redact);
        }
    }

    fn absorb_batch(&mut self, mut batch: Batch, open: &mut Open, redact: &mut Option<Redact>) {
        let (place, source) = (self.batches.len(), batch.source);
        let (mut cursor, mut at) = (0, 0);
        let mut take = |len: usize| {
            let start = cursor;
            cursor += len;
            start..cursor
        };
        for note in &batch.notes {
            match *note {
                Note::Turn(time) => at = time,
                Note::Message { number, packet_id, shape } => {
                    let Shape { direction, qos, retain, dup, topic, payload, properties } = shape;
                    let key = (number > 0).then_some((source, number, direction == Direction::Out));
                    let mut row = Row {
                        batch: place,
                        key,
                        at,
                        direction,
                        qos,
                        retain,
                        dup,
                        packet_id,
                        topic: take(topic as usize),
                        payload: match payload {
                            KEPT => Payload::Kept(batch.large.pop_front().unwrap_or_default()),
                            len => Payload::Copied(take(len as usize)),
                        },
                        properties: take(properties as usize),
                        settlement: None,
                        words: None,
                        draft: None,
                    };
                    if let Some(hook) = redact {
                        let mut draft = Box::new(row.draft_of(&batch));
                        if hook(&mut draft) == Verdict::Drop {
                            self.redacted += 1;
                            continue;
                        }
                        row.take_over(draft);
                    }
                    if let Some(key) = key {
                        open.0.insert(key, Place::Pending(self.rows.len()));
                    }
                    self.rows.push(row);
                }
                Note::Transmitted { number, packet_id, dup } => match open.0.get(&(source, number, true)) {
                    Some(Place::Pending(row)) => {
                        if let Some(row) = self.rows.get_mut(*row) {
                            (row.packet_id, row.dup) = (packet_id, dup);
                        }
                    }
                    Some(Place::Row(id)) => {
                        let news = News::Transmitted { packet_id, dup };
                        self.updates.push(Update { id: *id, news, words: None });
                    }
                    None => {}
                },
                Note::Settled { number, direction, fate, reason, words } => {
                    let settlement = Settlement { at, fate, reason };
                    let words = take(words as usize);
                    let words = (!words.is_empty()).then_some((place, words));
                    match open.0.remove(&(source, number, direction == Direction::Out)) {
                        Some(Place::Pending(row)) => {
                            if let Some(row) = self.rows.get_mut(row) {
                                (row.settlement, row.words) = (Some(settlement), words);
                            }
                        }
                        Some(Place::Row(id)) => {
                            self.updates.push(Update { id, news: News::Settled(settlement), words });
                        }
                        None => {}
                    }
                }
                Note::Connected => open.0.retain(|(of, _, out), _| *of != source || *out),
                Note::Gone => open.0.retain(|(of, ..), _| *of != source),
            }
        }
        self.batches.push(batch);
    }

    /// The rows have these numbers in the database now. Everything is forgotten but what is still open.
    pub(crate) fn written(&mut self, first_id: i64, open: &mut Open) -> Vec<Batch> {
        for (id, row) in (first_id..).zip(&self.rows) {
            if let Some(key) = row.key.filter(|_| row.settlement.is_none())
                && let Some(place) = open.0.get_mut(&key)
            {
                *place = Place::Row(id);
            }
        }
        self.rows.clear();
        self.updates.clear();
        core::mem::take(&mut self.batches)
    }

    pub(crate) fn client_id<'a>(&'a self, row: &'a Row) -> &'a str {
        match &row.draft {
            Some(draft) => &draft.client_id,
            None => {
                self.batches.get(row.batch).and_then(|batch| batch.client_id.as_deref()).unwrap_or_default()
            }
        }
    }

    pub(crate) fn topic<'a>(&'a self, row: &'a Row) -> &'a str {
        match &row.draft {
            Some(draft) => &draft.topic,
            None => self.text(row.batch, &row.topic).unwrap_or_default(),
        }
    }

    pub(crate) fn payload<'a>(&'a self, row: &'a Row) -> &'a [u8] {
        match (&row.draft, &row.payload) {
            (Some(draft), _) => &draft.payload,
            (None, Payload::Copied(range)) => self.bytes(row.batch, range),
            (None, Payload::Kept(bytes)) => bytes,
        }
    }

    pub(crate) fn properties<'a>(&'a self, row: &'a Row) -> Option<&'a str> {
        match &row.draft {
            Some(draft) => draft.properties.as_deref(),
            None => self.text(row.batch, &row.properties).filter(|json| !json.is_empty()),
        }
    }

    /// What the server said to the message.
    pub(crate) fn words(&self, row: &Row) -> Option<&str> {
        self.words_at(&row.words)
    }

    pub(crate) fn words_of(&self, update: &Update) -> Option<&str> {
        self.words_at(&update.words)
    }

    fn words_at(&self, words: &Words) -> Option<&str> {
        words.as_ref().and_then(|(batch, range)| self.text(*batch, range))
    }

    fn text(&self, batch: usize, range: &Range<usize>) -> Option<&str> {
        from_utf8(self.bytes(batch, range)).ok()
    }

    fn bytes(&self, batch: usize, range: &Range<usize>) -> &[u8] {
        self.batches.get(batch).and_then(|batch| batch.bytes.get(range.clone())).unwrap_or_default()
    }
}

impl Row {
    /// The row as the hook sees it.
    fn draft_of(&self, batch: &Batch) -> Draft {
        let bytes = |range: &Range<usize>| batch.bytes.get(range.clone()).unwrap_or_default();
        let text = |range| String::from_utf8_lossy(bytes(range)).into_owned();
        Draft {
            time: clock::from_micros(self.at),
            direction: self.direction,
            client_id: batch.client_id.as_deref().unwrap_or_default().to_owned(),
            topic: text(&self.topic),
            payload: match &self.payload {
                Payload::Copied(range) => Bytes::copy_from_slice(bytes(range)),
                Payload::Kept(payload) => payload.clone(),
            },
            qos: self.qos,
            retain: self.retain,
            properties: Some(text(&self.properties)).filter(|json| !json.is_empty()),
        }
    }

    fn take_over(&mut self, draft: Box<Draft>) {
        self.at = clock::to_micros(draft.time);
        (self.direction, self.qos, self.retain) = (draft.direction, draft.qos, draft.retain);
        self.draft = Some(draft);
    }
}
