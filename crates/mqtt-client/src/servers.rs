//! Which server the next attempt goes to: the application's, or where one of those has sent the client.

use crate::address::Address;
use crate::error::{ConnectError, OptionFault};
use crate::transports::Transports;
use bytes::Bytes;
use mqtt_session::{ReasonCode, Text};
use mqtt_transport::Connect;
use std::collections::VecDeque;
use std::sync::Arc;

/// So often in a row the client goes where a server sends it. A connection that was stable ends the row.
const MOST_HOPS: u32 = 5;

/// A place to connect to.
#[derive(Clone)]
pub(crate) struct Server {
    /// `None` if the application brings its own connector.
    address: Option<(Address, Arc<Transports>)>,
    pub(crate) connector: Arc<dyn Connect>,
    /// What its URL says.
    pub(crate) username: Option<Text>,
    pub(crate) password: Option<Bytes>,
}

impl Server {
    /// The server of a URL, reached by the connector of the application if there is one.
    pub(crate) fn new(
        address: Address,
        connector: Option<Arc<dyn Connect>>,
        transports: &Arc<Transports>,
    ) -> Result<Self, ConnectError> {
        let username = address.username.as_deref().map(Text::try_from).transpose();
        let username = username
            .map_err(|fault| ConnectError::InvalidOption { option: "username", fault: fault.into() })?;
        let password = address.password.clone().map(Bytes::from);
        Ok(match connector {
            Some(connector) => Self { address: None, connector, username, password },
            None => {
                let connector = transports.connector(&address)?;
                Self { connector, address: Some((address, transports.clone())), username, password }
            }
        })
    }

    /// Where it is, without anything secret that its URL may have.
    #[cfg(feature = "tracing")]
    pub(crate) fn place(&self) -> String {
        match &self.address {
            Some((address, _)) if address.host.is_empty() => address.path.clone(),
            Some((address, _)) => format!("{}:{}", address.host, address.port),
            None => "connector".to_owned(),
        }
    }

    fn is_at(&self, other: &Self) -> bool {
        let address = |server: &Self| server.address.as_ref().map(|(address, _)| address.clone());
        address(self) == address(other)
    }

    /// Another host, everything else as it is.
    fn elsewhere(&self, reference: &str) -> Option<Self> {
        let (address, transports) = self.address.as_ref()?;
        let address = address.elsewhere(reference).ok()?;
        let connector = transports.connector(&address).ok()?;
        Some(Self { connector, address: Some((address, transports.clone())), ..self.clone() })
    }
}

pub(crate) struct Servers {
    /// The application's, in the order of trying; not empty.
    own: Vec<Server>,
    /// Those of them that this round has still to try.
    left: VecDeque<Server>,
    /// Where a server sends the client, not tried yet. They go before its own.
    referred: VecDeque<Server>,
    current: Server,
    order: ServerOrder,
    follow: bool,
    hops: u32,
}

/// In which order a client tries its servers, see [`ConnectBuilder::server`](crate::ConnectBuilder::server).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ServerOrder {
    /// As they were named, each time from the first: the others are for when it is out of reach.
    #[default]
    AsNamed,
    /// In a random order, another one each time: many clients spread evenly.
    Random,
}

impl Servers {
    pub(crate) fn new(first: Server, others: Vec<Server>, order: ServerOrder, follow: bool) -> Self {
        let mut own: Vec<Server> = [first.clone()].into_iter().chain(others).collect();
        own.shrink_to_fit();
        let (left, referred) = (VecDeque::new(), VecDeque::new());
        let mut servers = Self { own, left, referred, current: first, order, follow, hops: 0 };
        servers.begin_round();
        servers
    }

    /// Going elsewhere needs to know how to reach other hosts.
    pub(crate) fn check(&self) -> Result<(), ConnectError> {
        let option = match self.own.as_slice() {
            own if own.iter().all(|server| server.address.is_some()) => return Ok(()),
            [_] if self.follow => "follow_server_reference",
            [_] => return Ok(()),
            _ => "server",
        };
        let fault = OptionFault::Conflict("a connector of one's own");
        Err(ConnectError::InvalidOption { option, fault })
    }

    /// Where the next attempt goes.
    pub(crate) fn current(&self) -> &Server {
        &self.current
    }

    /// An attempt failed, or a connection ended, which the server had `accepted` and which maybe was `stable`. Turns to
    /// the next server; true if that is to be tried at once.
    pub(crate) fn turn(&mut self, cause: &ConnectError, accepted: bool, stable: bool) -> bool {
        if stable {
            self.hops = 0;
        }
        if self.follow && self.refer(cause) {
            return true;
        }
        let untried = if self.referred.is_empty() { &mut self.left } else { &mut self.referred };
        if !accepted
            && cause.is_retryable()
            && let Some(next) = untried.pop_front()
        {
            self.current = next;
            return true;
        }
        self.referred.clear();
        self.begin_round();
        false
    }

    fn begin_round(&mut self) {
        let mut round = self.own.clone();
        if self.order == ServerOrder::Random {
            fastrand::shuffle(&mut round);
        }
        self.left = round.into();
        if let Some(first) = self.left.pop_front() {
            self.current = first;
        }
        self.left.shrink_to_fit();
    }

    /// Takes the servers that the cause names for the next ones. Section 4.11: 0x9C means for now,
    /// 0x9D for good.
    fn refer(&mut self, cause: &ConnectError) -> bool {
        let moved = match cause.reason() {
            Some(ReasonCode::SERVER_MOVED) => true,
            Some(ReasonCode::USE_ANOTHER_SERVER) => false,
            _ => return false,
        };
        let named = cause.server_reference().unwrap_or_default().split_whitespace();
        let named: Vec<Server> = named.filter_map(|reference| self.current.elsewhere(reference)).collect();
        if named.is_empty() || self.hops >= MOST_HOPS {
            return false;
        }
        self.hops += 1;
        let left = self.own.iter().position(|own| own.is_at(&self.current));
        if let Some(left) = left.filter(|_| moved) {
            self.own.splice(left..=left, named.iter().cloned());
        }
        self.referred = named.into();
        if let Some(next) = self.referred.pop_front() {
            self.current = next;
        }
        true
    }
}
