//! The thread that writes.

use crate::batch::{Batch, Settlement};
use crate::options::{LogOptions, Redact, Retention};
use crate::pending::{News, Open, Pending};
use crate::queue::{Counts, Loss, Queue, Work};
use crate::retention;
use core::time::Duration;
use rusqlite::{Connection, Statement, TransactionBehavior};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// At the end so many attempts are made to write what is left; each waits a second for other programs.
const LAST_ATTEMPTS: u32 = 2;
/// As many losses are kept.
const LOSSES: i64 = 10_000;

const INSERT: &str =
    "INSERT INTO message (id, time, direction, client_id, topic, payload, payload_size, payload_sha256,
    qos, retain, dup, packet_id, properties, outcome, reason, reason_string, outcome_time)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)";
const SETTLE: &str =
    "UPDATE message SET outcome = ?2, reason = ?3, reason_string = ?4, outcome_time = ?5 WHERE id = ?1";
const TRANSMIT: &str = "UPDATE message SET packet_id = ?2, dup = ?3 WHERE id = ?1";
const LAST_ID: &str = "SELECT max((SELECT last_id FROM state), ifnull((SELECT max(id) FROM message), 0))";

pub(crate) struct Writer {
    queue: Arc<Queue>,
    db: Connection,
    payload_limit: usize,
    retention: Retention,
    redact: Option<Redact>,
    pending: Pending,
    losses: Vec<Loss>,
    open: Open,
}

impl Writer {
    pub(crate) fn new(queue: Arc<Queue>, db: Connection, options: LogOptions) -> Self {
        let LogOptions { payload_limit, retention, redact, .. } = options;
        Self {
            queue,
            db,
            payload_limit,
            retention,
            redact,
            pending: Pending::default(),
            losses: Vec::new(),
            open: Open::default(),
        }
    }

    pub(crate) fn run(mut self) {
        let tick = self.retention.tick();
        let (mut failed, mut last_attempts) = (false, 0);
        loop {
            let Work { batches, losses, closing } = self.queue.take(tick, failed);
            self.pending.absorb(batches, &mut self.open, &mut self.redact);
            self.losses.extend(losses);
            let rows = self.pending.rows.len();
            failed = match self.write() {
                Ok(()) => false,
                Err(error) => {
                    self.queue.failed(error.to_string());
                    true
                }
            };
            if !failed && let Err(error) = retention::apply(&mut self.db, &self.retention, rows) {
                // The next turn tries again; nothing is lost by it.
                self.queue.failed(error.to_string());
            }
            if closing {
                last_attempts += 1;
                if !failed || last_attempts >= LAST_ATTEMPTS {
                    break;
                }
            }
        }
        self.give_up();
        drop(self.db);
        self.queue.ended();
    }

    /// Writes what is pending, in one transaction.
    fn write(&mut self) -> rusqlite::Result<()> {
        let nothing = self.pending.is_empty() && self.losses.is_empty();
        if nothing && self.pending.batches.is_empty() {
            return Ok(());
        }
        let first_id = if nothing { 0 } else { self.transact()? };
        self.losses.clear();
        let written = self.pending.rows.len() as u64;
        let redacted = core::mem::take(&mut self.pending.redacted);
        let batches: Vec<Batch> = self.pending.written(first_id, &mut self.open);
        self.queue.settled(batches.into_iter(), Counts { written, redacted, lost: 0 });
        Ok(())
    }

    /// Returns the number of the first row.
    fn transact(&mut self) -> rusqlite::Result<i64> {
        let pending = &self.pending;
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Other programs may write to the same log.
        let last_id: i64 = transaction.query_row(LAST_ID, [], |row| row.get(0))?;
        let mut id = last_id;
        {
            let mut insert = transaction.prepare(INSERT)?;
            let mut bind = Binder { client_id: None, limit: self.payload_limit };
            for row in &pending.rows {
                id += 1;
                bind.message(&mut insert, id, pending, row)?;
            }
            let mut settle = transaction.prepare(SETTLE)?;
            let mut transmit = transaction.prepare(TRANSMIT)?;
            for update in &pending.updates {
                match &update.news {
                    News::Settled(Settlement { at, fate, reason }) => {
                        let words = pending.words_of(update);
                        settle.execute((update.id, fate.as_str(), reason, words, at))?;
                    }
                    News::Transmitted { packet_id, dup } => {
                        transmit.execute((update.id, packet_id, dup))?;
                    }
                }
            }
            for Loss { client_id, at, messages } in &self.losses {
                transaction.execute(
                    "INSERT INTO loss (time, client_id, messages) VALUES (?1, ?2, ?3)",
                    (at, client_id.as_deref().unwrap_or_default(), *messages as i64),
                )?;
            }
            if !self.losses.is_empty() {
                transaction
                    .execute("DELETE FROM loss WHERE id <= (SELECT max(id) FROM loss) - ?1", [LOSSES])?;
            }
            transaction.execute("UPDATE state SET last_id = ?1", [id])?;
        }
        transaction.commit()?;
        Ok(last_id + 1)
    }

    /// What could not be written at the end is lost.
    fn give_up(&mut self) {
        let lost = self.pending.rows.len() as u64;
        let batches = core::mem::take(&mut self.pending.batches);
        if !batches.is_empty() {
            self.queue.settled(batches.into_iter(), Counts { lost, ..Counts::default() });
        }
    }
}

/// Binds rows one after the other. What stays the same is bound once.
struct Binder<'a> {
    client_id: Option<&'a str>,
    limit: usize,
}

impl<'a> Binder<'a> {
    fn message(
        &mut self,
        insert: &mut Statement<'_>,
        id: i64,
        pending: &'a Pending,
        row: &'a crate::pending::Row,
    ) -> rusqlite::Result<()> {
        let client_id = pending.client_id(row);
        if self.client_id != Some(client_id) {
            insert.raw_bind_parameter(4, client_id)?;
            self.client_id = Some(client_id);
        }
        let payload = pending.payload(row);
        let kept = payload.get(..self.limit).unwrap_or(payload);
        let hash = (kept.len() < payload.len()).then(|| Sha256::digest(payload));
        let settlement = row.settlement.as_ref();
        insert.raw_bind_parameter(1, id)?;
        insert.raw_bind_parameter(2, row.at)?;
        insert.raw_bind_parameter(3, row.direction.as_str())?;
        insert.raw_bind_parameter(5, pending.topic(row))?;
        insert.raw_bind_parameter(6, kept)?;
        insert.raw_bind_parameter(7, payload.len() as i64)?;
        insert.raw_bind_parameter(8, hash.as_ref().map(|hash| hash.as_slice()))?;
        insert.raw_bind_parameter(9, row.qos.as_u8())?;
        insert.raw_bind_parameter(10, row.retain)?;
        insert.raw_bind_parameter(11, row.dup)?;
        insert.raw_bind_parameter(12, (row.packet_id != 0).then_some(row.packet_id))?;
        insert.raw_bind_parameter(13, pending.properties(row))?;
        insert.raw_bind_parameter(14, settlement.map(|settlement| settlement.fate.as_str()))?;
        insert.raw_bind_parameter(15, settlement.and_then(|settlement| settlement.reason))?;
        insert.raw_bind_parameter(16, pending.words(row))?;
        insert.raw_bind_parameter(17, settlement.map(|settlement| settlement.at))?;
        insert.raw_execute()?;
        Ok(())
    }
}

impl Retention {
    /// How often to look for what is too old, if nothing else happens.
    fn tick(&self) -> Duration {
        let (least, most) = (Duration::from_millis(50), Duration::from_secs(60));
        self.age.map_or(Duration::from_secs(3600), |age| (age / 4).clamp(least, most))
    }
}
