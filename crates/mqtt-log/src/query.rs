//! Reading a log, also while it is written.

use crate::batch::Fate;
use crate::clock;
use crate::draft::Direction;
use crate::entry::{COLUMNS, Entry};
use crate::error::LogError;
use crate::schema;
use mqtt_client::TopicFilter;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, params_from_iter};
use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::time::SystemTime;

/// Messages that are read at once.
const PAGE: usize = 500;
/// As many messages whose outcome is open are looked at again by those who follow.
const UNDECIDED: usize = 100_000;

/// Which messages of a log are wanted: all, unless something is said. What is said holds together.
///
/// ```
/// use mqtt_log::{Direction, Query};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let query = Query::new().topic("home/+/temp".try_into()?).direction(Direction::Out).failed().last(20);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "it does nothing by itself"]
pub struct Query {
    topics: Vec<TopicFilter>,
    since: Option<SystemTime>,
    until: Option<SystemTime>,
    direction: Option<Direction>,
    failed: bool,
    outcome: Option<Fate>,
    client_id: Option<String>,
    last: Option<usize>,
}

impl Query {
    /// All messages.
    pub fn new() -> Self {
        Self::default()
    }

    /// Those whose topic this filter takes, with the wildcards of MQTT; if there are several, any of them.
    pub fn topic(mut self, filter: TopicFilter) -> Self {
        self.topics.push(filter);
        self
    }

    /// Those that were accepted or came at this time or later.
    pub fn since(mut self, time: SystemTime) -> Self {
        self.since = Some(time);
        self
    }

    /// Those that were accepted or came before this time.
    pub fn until(mut self, time: SystemTime) -> Self {
        self.until = Some(time);
        self
    }

    /// Those that were sent, or those that were received.
    pub fn direction(mut self, direction: Direction) -> Self {
        self.direction = Some(direction);
        self
    }

    /// Those that have failed, see [`Entry::has_failed`].
    pub fn failed(mut self) -> Self {
        self.failed = true;
        self
    }

    /// Those with this outcome.
    pub fn outcome(mut self, outcome: Fate) -> Self {
        self.outcome = Some(outcome);
        self
    }

    /// Those of this client.
    pub fn client_id(mut self, id: impl Into<String>) -> Self {
        self.client_id = Some(id.into());
        self
    }

    /// Of them the last so many. Whoever follows gets those that come after them too.
    pub fn last(mut self, messages: usize) -> Self {
        self.last = Some(messages);
        self
    }

    /// Whether this message is wanted; [`last`](Self::last) is left out of it.
    pub fn takes(&self, entry: &Entry) -> bool {
        (self.topics.is_empty() || self.topics.iter().any(|filter| filter.matches(&entry.topic)))
            && self.since.is_none_or(|time| entry.time >= time)
            && self.until.is_none_or(|time| entry.time < time)
            && self.direction.is_none_or(|direction| entry.direction == direction)
            && (!self.failed || entry.has_failed())
            && self.outcome.is_none_or(|outcome| entry.outcome == Some(outcome))
            && self.client_id.as_ref().is_none_or(|id| entry.client_id == *id)
    }

    /// Whether a message can come to be wanted after it was written.
    const fn depends_on_outcome(&self) -> bool {
        self.failed || self.outcome.is_some()
    }

    /// The same in SQL, and what stands for the question marks.
    fn condition(&self) -> (String, Vec<Value>) {
        let mut terms = vec!["1".to_owned()];
        let mut values = Vec::new();
        if !self.topics.is_empty() {
            let any: Vec<_> = self.topics.iter().map(|_| "topic_matches(?, topic)").collect();
            terms.push(format!("({})", any.join(" OR ")));
            values.extend(self.topics.iter().map(|filter| Value::from(filter.as_str().to_owned())));
        }
        // The plus keeps these from choosing the index: the range of numbers does better.
        let mut and = |term: &str, value: Value| {
            terms.push(term.to_owned());
            values.push(value);
        };
        if let Some(time) = self.since {
            and("+time >= ?", clock::to_micros(time).into());
        }
        if let Some(time) = self.until {
            and("+time < ?", clock::to_micros(time).into());
        }
        if let Some(direction) = self.direction {
            and("direction = ?", direction.as_str().to_owned().into());
        }
        if let Some(outcome) = self.outcome {
            and("outcome = ?", outcome.as_str().to_owned().into());
        }
        if let Some(id) = &self.client_id {
            and("client_id = ?", id.clone().into());
        }
        if self.failed {
            terms.push(
                "outcome NOT IN ('sent', 'stored') AND (outcome <> 'acked' OR reason >= 128)".to_owned(),
            );
        }
        (terms.join(" AND "), values)
    }
}

/// Reads a log. Any number of programs may read while others write; none holds up another.
///
/// ```no_run
/// use mqtt_log::{LogReader, Query};
///
/// # fn main() -> Result<(), mqtt_log::LogError> {
/// let reader = LogReader::open("/var/log/kitchen")?;
/// for entry in reader.entries(Query::new().failed()) {
///     let entry = entry?;
///     println!("{:?} {} {:?}", entry.time, entry.topic, entry.outcome);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct LogReader {
    db: Connection,
}

impl LogReader {
    /// Opens the log in this directory.
    ///
    /// # Errors
    ///
    /// There is none, it cannot be read, or it is one of a later version.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, LogError> {
        let db = schema::open_to_read(directory.as_ref())?;
        let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
        db.create_scalar_function("topic_matches", 2, flags, topic_matches)?;
        Ok(Self { db })
    }

    /// The messages that are wanted, in the order of the log. They are read as the iterator goes on; each page of them is as
    /// the log is at that moment. The iterator ends at the first error.
    pub fn entries(&self, query: Query) -> Entries<'_> {
        Entries { reader: self, query, range: None, page: VecDeque::new(), undecided: None }
    }

    /// The messages that are wanted, and then those that come. The iterator never ends for good: without news it returns
    /// `None`, and is to be asked again a little later. A message whose outcome makes it wanted comes when that is known,
    /// which may be after later ones.
    pub fn follow(&self, query: Query) -> Entries<'_> {
        let undecided = query.depends_on_outcome().then(BTreeSet::new);
        Entries { undecided: Some(undecided.unwrap_or_default()), ..self.entries(query) }
    }

    /// Messages that were lost because too much waited to be written, by [`loss`](crate#the-tables).
    pub fn lost(&self) -> Result<u64, LogError> {
        let lost: i64 =
            self.db.query_row("SELECT ifnull(sum(messages), 0) FROM loss", [], |row| row.get(0))?;
        Ok(lost.unsigned_abs())
    }

    /// The number of the first and the last message to look at.
    fn range(&self, query: &Query) -> Result<(i64, i64), LogError> {
        let end = |sql: &str, values: Vec<Value>| -> Result<Option<i64>, LogError> {
            Ok(self.db.query_row(sql, params_from_iter(values), |row| row.get(0)).optional()?.flatten())
        };
        let time = |time| vec![Value::from(clock::to_micros(time))];
        let mut first = match query.since {
            Some(since) => end("SELECT min(id) FROM message WHERE time >= ?", time(since))?,
            None => Some(1),
        };
        let last = match query.until {
            Some(until) => end("SELECT max(id) FROM message WHERE time < ?", time(until))?,
            None => end("SELECT max(id) FROM message", Vec::new())?,
        };
        if let (Some(messages), Some(begin), Some(stop)) = (query.last, first, last) {
            if messages == 0 {
                return Ok((stop + 1, stop));
            }
            let (condition, mut values) = query.condition();
            let sql = format!(
                "SELECT id FROM message WHERE {condition} AND id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1 OFFSET ?"
            );
            values.extend([begin.into(), stop.into(), Value::from(messages as i64 - 1)]);
            first = end(&sql, values)?.or(first);
        }
        match (first, last) {
            (Some(first), Some(last)) => Ok((first, last)),
            _ => Ok((self.next_id()?, 0)),
        }
    }

    /// The number behind the last that was given.
    fn next_id(&self) -> Result<i64, LogError> {
        Ok(self.db.query_row("SELECT last_id + 1 FROM state", [], |row| row.get(0))?)
    }

    fn page(&self, query: &Query, first: i64, last: i64) -> Result<VecDeque<Entry>, LogError> {
        let (condition, mut values) = query.condition();
        let sql = format!(
            "SELECT {COLUMNS} FROM message WHERE {condition} AND id BETWEEN ? AND ? ORDER BY id LIMIT {PAGE}"
        );
        values.extend([Value::from(first), last.into()]);
        let mut statement = self.db.prepare(&sql)?;
        let rows = statement.query_map(params_from_iter(values), Entry::read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The numbers of messages in this range whose outcome is open, but not more than so many.
    fn undecided(&self, first: i64, last: i64, most: usize) -> Result<Vec<i64>, LogError> {
        let sql =
            "SELECT id FROM message WHERE outcome IS NULL AND id BETWEEN ? AND ? ORDER BY id DESC LIMIT ?";
        let mut statement = self.db.prepare(sql)?;
        let rows = statement.query_map((first, last, most as i64), |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn entry(&self, id: i64) -> Result<Option<Entry>, LogError> {
        let sql = format!("SELECT {COLUMNS} FROM message WHERE id = ?");
        Ok(self.db.prepare(&sql)?.query_row([id], Entry::read).optional()?)
    }
}

/// Messages of a log, from [`LogReader::entries`] and [`LogReader::follow`].
#[derive(Debug)]
pub struct Entries<'a> {
    reader: &'a LogReader,
    query: Query,
    /// The first that was not looked at, and the last to look at. `None` before the first look, and after an error.
    range: Option<(i64, i64)>,
    page: VecDeque<Entry>,
    /// Of those who follow: messages that were not wanted and may come to be. `None` otherwise.
    undecided: Option<BTreeSet<i64>>,
}

impl Entries<'_> {
    fn fill(&mut self) -> Result<(), LogError> {
        let begins = self.range.is_none();
        let (first, mut last) = match self.range {
            Some(range) => range,
            None => self.reader.range(&self.query)?,
        };
        if self.undecided.is_some() && !begins && first > last {
            self.look_again()?;
            if !self.page.is_empty() {
                return Ok(());
            }
        }
        if self.undecided.is_some() {
            last = self.reader.next_id()? - 1;
        }
        // What is open now is looked at again, what is read after that is decided or in it.
        self.note_undecided(first, last)?;
        self.page =
            if first > last { VecDeque::new() } else { self.reader.page(&self.query, first, last)? };
        let seen = match self.page.back() {
            Some(entry) if self.page.len() == PAGE => entry.id,
            _ => last,
        };
        self.range = Some((first.max(seen + 1), last));
        if let Some(undecided) = &mut self.undecided {
            self.page.iter().for_each(|entry| _ = undecided.remove(&entry.id));
        }
        Ok(())
    }

    fn note_undecided(&mut self, first: i64, last: i64) -> Result<(), LogError> {
        if self.query.depends_on_outcome()
            && let Some(undecided) = &mut self.undecided
        {
            undecided.extend(self.reader.undecided(first, last, UNDECIDED)?);
            while undecided.len() > UNDECIDED {
                undecided.pop_first();
            }
        }
        Ok(())
    }

    /// Takes out what is decided by now.
    fn look_again(&mut self) -> Result<(), LogError> {
        let Some(undecided) = &mut self.undecided else { return Ok(()) };
        let mut decided = Vec::new();
        for &id in undecided.iter() {
            match self.reader.entry(id)? {
                Some(entry) if entry.outcome.is_none() => {}
                Some(entry) => {
                    decided.push(id);
                    if self.query.takes(&entry) {
                        self.page.push_back(entry);
                    }
                }
                None => decided.push(id),
            }
        }
        decided.iter().for_each(|id| _ = undecided.remove(id));
        Ok(())
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.page.is_empty() {
            let done = self.undecided.is_none() && self.range.is_some_and(|(first, last)| first > last);
            if done {
                return None;
            }
            if let Err(error) = self.fill() {
                self.range = Some((1, 0));
                return Some(Err(error));
            }
        }
        self.page.pop_front().map(Ok)
    }
}

/// `topic_matches(filter, topic)`, section 4.7.
fn topic_matches(context: &Context<'_>) -> rusqlite::Result<bool> {
    let filter =
        context.get_or_create_aux(0, |filter| -> Result<_, Box<dyn core::error::Error + Send + Sync>> {
            Ok(TopicFilter::try_from(filter.as_str()?)?)
        })?;
    Ok(filter.matches(context.get_raw(1).as_str()?))
}
