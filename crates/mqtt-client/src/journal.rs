//! A journal: all messages of a client, as they come and go.

use crate::ack::Answer;
use crate::cells::CellId;
use crate::requests::{Request, Requests, TokenHasher};
use crate::submissions::Command;
use core::fmt;
use core::hash::BuildHasherDefault;
use mqtt_session::{AckToken, Message, Outcome, PacketId, ReasonCode, Token};
use std::collections::HashMap;

/// Takes down what happens to each message of a client, see [`ConnectBuilder::journal`](crate::ConnectBuilder::journal).
///
/// The crate `mqtt-log` has one that writes to a database. One of your own is told things by the client's task, and
/// whatever it does there the connection waits for: it must not block, and hands on what takes time.
///
/// ```
/// use mqtt_client::{Journal, Record, connect};
///
/// /// Counts.
/// #[derive(Default)]
/// struct Tally {
///     received: u64,
/// }
///
/// impl Journal for Tally {
///     fn record(&mut self, record: Record<'_>) {
///         self.received += u64::from(matches!(record, Record::Received { .. }));
///     }
/// }
///
/// let builder = connect("mqtt://broker.example").journal(Tally::default());
/// ```
pub trait Journal: Send + 'static {
    /// Something happened, now. Records come in the order in which the client's task sees things happen.
    fn record(&mut self, record: Record<'_>);

    /// For now there is nothing more to record: a good moment to hand on what was collected. The client calls this often,
    /// also if nothing was recorded since, and for the last time when it ends; then it drops the journal.
    fn flush(&mut self) {}
}

/// One thing that happened to a message.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Record<'a> {
    /// What follows happens to the client of this name: the first record, unless the server is to choose the name, and then
    /// one at each connection.
    Client {
        /// The client identifier.
        id: &'a str,
    },
    /// The application, or the client itself for its [`Presence`](crate::Presence), publishes this message; or it comes from
    /// the [store](crate::ConnectBuilder::store), where an earlier run of the program has left it.
    Accepted {
        /// What names the message from now on: 1, 2, 3 and so on.
        number: u64,
        /// The message. Its `dup` means nothing.
        message: &'a Message,
    },
    /// A message of QoS 1 or 2 was made ready to leave. It happens again if it is sent again; of several that leave at
    /// once the last may be told first. A repetition by time
    /// ([`retransmit_after`](crate::ConnectBuilder::retransmit_after)) is not told.
    Transmitted {
        /// The message.
        number: u64,
        /// The packet identifier that it was given.
        packet_id: PacketId,
        /// Whether it was marked as one that may have been sent before.
        dup: bool,
    },
    /// It is known what became of a message: once for each that was accepted. One that was still waiting when the client
    /// ended has [`Outcome::NotSent`] or [`Outcome::Unknown`], with a [store](crate::ConnectBuilder::store)
    /// [`Outcome::Stored`]. One that could not be stored has [`Outcome::NotSent`].
    Completed {
        /// The message.
        number: u64,
        /// What became of it.
        outcome: &'a Outcome,
    },
    /// A message came, whether or not a subscription takes it.
    Received {
        /// The message.
        message: &'a Message,
        /// `None` at QoS 0.
        receipt: Option<Receipt>,
    },
    /// The application has taken a message of QoS 1 or 2, or refused it: its acknowledgement leaves in its turn. It may
    /// happen long after the message came, or never.
    Acknowledged {
        /// The number of the message's [`Receipt`].
        number: u64,
        /// From 0x80 on a refusal; before 5.0 the server does not hear of that.
        reason: ReasonCode,
    },
}

/// What names a message of QoS 1 or 2 that was received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Receipt {
    /// A number that no other message has which waits for its acknowledgement. It means nothing else.
    pub number: u64,
    /// The packet identifier that the server gave it.
    pub packet_id: PacketId,
}

/// Where the driver tells what happens. Without a journal each call is one look at an empty field.
#[derive(Default)]
pub(crate) struct Tap(Option<Box<Open>>);

struct Open {
    journal: Box<dyn Journal>,
    /// Messages accepted so far.
    accepted: u64,
    /// The message whose fate each cell waits for.
    by_cell: Vec<Tapped>,
    /// Those of messages that have no cell: the client's own, and those of an earlier run.
    own: HashMap<Token, u64, BuildHasherDefault<TokenHasher>>,
}

/// A message that has no outcome yet; 0 if there is none.
#[derive(Clone, Copy, Default)]
struct Tapped {
    number: u64,
    stored: bool,
}

impl Tap {
    pub(crate) fn new(journal: Option<Box<dyn Journal>>, client_id: &str) -> Self {
        let mut tap = Self(journal.map(|journal| {
            Box::new(Open { journal, accepted: 0, by_cell: Vec::new(), own: HashMap::default() })
        }));
        if !client_id.is_empty() {
            tap.client(client_id);
        }
        tap
    }

    pub(crate) fn client(&mut self, id: &str) {
        self.tell(|open| open.journal.record(Record::Client { id }));
    }

    /// The driver has taken over a request.
    #[inline(always)]
    pub(crate) fn taken(&mut self, command: &Command) {
        self.tell(|open| {
            if let Command::Publish(message, cell) = command {
                let number = open.accept(message);
                if open.by_cell.len() <= cell.index() {
                    open.by_cell.resize(cell.index() + 1, Tapped::default());
                }
                if let Some(place) = open.by_cell.get_mut(cell.index()) {
                    *place = Tapped { number, stored: false };
                }
            }
        });
    }

    /// The session has a message for which no handle waits: the client's own, or that of an earlier run.
    pub(crate) fn publishes(&mut self, token: Token, message: impl FnOnce() -> Message) {
        self.tell(|open| {
            let number = open.accept(&message());
            open.own.insert(token, number);
        });
    }

    /// These messages have left, the last first.
    pub(crate) fn transmitted(
        &mut self,
        messages: impl Iterator<Item = (Token, PacketId)>,
        requests: &Requests,
        dup: bool,
    ) {
        self.tell(|open| {
            for (token, packet_id) in messages {
                if let Some(number) = open.number(token, requests.get(token)) {
                    open.journal.record(Record::Transmitted { number, packet_id, dup });
                }
            }
        });
    }

    /// The session has seen a request through.
    #[inline(always)]
    pub(crate) fn completed(&mut self, token: Token, request: Option<&Request>, outcome: &Outcome) {
        self.tell(|open| match request {
            Some(Request::Publish(cell)) => open.complete(*cell, outcome),
            Some(_) => {}
            None => open.complete_own(token, outcome),
        });
    }

    /// A message has not come as far as the session.
    pub(crate) fn turned_back(&mut self, cell: CellId, outcome: &Outcome) {
        self.tell(|open| open.complete(cell, outcome));
    }

    /// A message is in the store: the next run of the program sends it, if this one does not.
    pub(crate) fn stored(&mut self, cell: CellId) {
        self.tell(|open| {
            if let Some(message) = open.by_cell.get_mut(cell.index()) {
                message.stored = true;
            }
        });
    }

    pub(crate) fn received(&mut self, message: &Message, token: Option<&AckToken>) {
        self.tell(|open| {
            let receipt = token.map(|token| Receipt { number: token.number(), packet_id: token.packet_id() });
            open.journal.record(Record::Received { message, receipt });
        });
    }

    pub(crate) fn acknowledged(&mut self, answer: &Answer) {
        self.tell(|open| {
            let (number, reason) = (answer.token.number(), answer.reason);
            open.journal.record(Record::Acknowledged { number, reason });
        });
    }

    pub(crate) fn flush(&mut self) {
        self.tell(|open| open.journal.flush());
    }

    /// Nothing more will happen.
    pub(crate) fn close(&mut self) {
        self.tell(|open| {
            for message in core::mem::take(&mut open.by_cell).into_iter().filter(|message| message.number > 0)
            {
                let outcome = if message.stored { &Outcome::Stored } else { &Outcome::NotSent };
                open.journal.record(Record::Completed { number: message.number, outcome });
            }
            open.journal.flush();
        });
        self.0 = None;
    }

    #[inline(always)]
    fn tell(&mut self, what: impl FnOnce(&mut Open)) {
        if let Some(open) = &mut self.0 {
            what(open);
        }
    }
}

impl Open {
    fn accept(&mut self, message: &Message) -> u64 {
        self.accepted += 1;
        let number = self.accepted;
        self.journal.record(Record::Accepted { number, message });
        number
    }

    fn complete(&mut self, cell: CellId, outcome: &Outcome) {
        let message = self.by_cell.get_mut(cell.index()).map(core::mem::take);
        if let Some(Tapped { number: number @ 1.., .. }) = message {
            self.journal.record(Record::Completed { number, outcome });
        }
    }

    fn complete_own(&mut self, token: Token, outcome: &Outcome) {
        if let Some(number) = self.own.remove(&token) {
            self.journal.record(Record::Completed { number, outcome });
        }
    }

    /// The message that a token stands for, if it stands for one.
    fn number(&self, token: Token, request: Option<&Request>) -> Option<u64> {
        match request {
            Some(Request::Publish(cell)) => self.by_cell.get(cell.index()).map(|message| message.number),
            Some(_) => None,
            None => self.own.get(&token).copied(),
        }
    }
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tap").field(&self.0.is_some()).finish()
    }
}
