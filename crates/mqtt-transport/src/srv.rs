//! Servers that a domain names in SRV records of the DNS, RFC 2782. Behind the feature `srv`.
//!
//! ```
//! use mqtt_transport::srv::Srv;
//! use mqtt_transport::{Connect, Tcp};
//! use std::sync::Arc;
//!
//! let connector = Srv::new("_mqtt._tcp.example.org", |host, port| Arc::new(Tcp::new(host, port)));
//! # let _: Box<dyn Connect> = Box::new(connector);
//! ```
//!
//! TLS goes around it, so that the certificate is for the domain that was asked for, not for a name that an answer of
//! the DNS, which anybody may have forged, has put in its place.

use crate::connect::{BoxFuture, BoxTransport, Connect};
use core::fmt;
use core::net::SocketAddr;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::{Resolver, TokioResolver};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// Why there is no server to connect to. Inside an [`io::Error`].
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SrvError {
    /// The domain has no such records.
    #[error("the DNS has no SRV records of {0}")]
    NoRecords(String),
    /// The domain says that it does not have this service.
    #[error("{0} says that there is no such service")]
    NoService(String),
    /// The question has no answer.
    #[error("the DNS does not tell the SRV records of {0}: {1}")]
    NotAnswered(String, String),
}

impl From<SrvError> for io::Error {
    fn from(error: SrvError) -> Self {
        let kind = match error {
            SrvError::NoRecords(_) => io::ErrorKind::NotFound,
            SrvError::NoService(_) => io::ErrorKind::Unsupported,
            SrvError::NotAnswered(..) => io::ErrorKind::HostUnreachable,
        };
        Self::new(kind, error)
    }
}

/// Connects to one of the servers of a service: in the order of their priorities, by chance as their weights have it
/// where these are the same. The DNS is asked at each connection, and the one that an attempt was given up at, or failed
/// at last, has its turn after the others.
pub struct Srv {
    service: String,
    dial: Box<Dial>,
    name_server: Option<SocketAddr>,
    avoided: Mutex<Option<Target>>,
}

type Dial = dyn Fn(&str, u16) -> Arc<dyn Connect> + Send + Sync;

/// Where a server is.
type Target = (String, u16);

impl Srv {
    /// The servers of `service`, such as `_mqtt._tcp.example.org`, each reached by the connector that `dial` makes for its
    /// host and port.
    pub fn new(
        service: impl Into<String>,
        dial: impl Fn(&str, u16) -> Arc<dyn Connect> + Send + Sync + 'static,
    ) -> Self {
        let dial = Box::new(dial);
        Self { service: service.into(), dial, name_server: None, avoided: Mutex::new(None) }
    }

    /// Asks this name server, by UDP and then TCP. Those of the system if it is not set.
    #[must_use]
    pub fn name_server(mut self, address: SocketAddr) -> Self {
        self.name_server = Some(address);
        self
    }

    async fn open(&self) -> io::Result<BoxTransport> {
        let mut targets = order(self.look_up().await?, |most| fastrand::u32(0..=most));
        let avoided = self.avoided.lock().unwrap_or_else(PoisonError::into_inner).clone();
        targets.sort_by_key(|target| Some(target) == avoided.as_ref());
        let mut failure = SrvError::NoRecords(self.service.clone()).into();
        for (host, port) in targets {
            self.avoid(Some((host.clone(), port)));
            match (self.dial)(&host, port).connect().await {
                Ok(stream) => {
                    self.avoid(None);
                    return Ok(stream);
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    fn avoid(&self, target: Option<Target>) {
        *self.avoided.lock().unwrap_or_else(PoisonError::into_inner) = target;
    }

    async fn look_up(&self) -> Result<Vec<SRV>, SrvError> {
        let service = || self.service.clone();
        let unanswered = |error: NetError| match error.is_no_records_found() || error.is_nx_domain() {
            true => SrvError::NoRecords(service()),
            false => SrvError::NotAnswered(service(), error.to_string()),
        };
        // What the system says of its name servers is read each time: it changes with the network.
        let resolver = self.resolver().map_err(unanswered)?;
        // With the dot no domain of the system's is tried behind it.
        let name = format!("{}.", self.service.trim_end_matches('.'));
        let found = resolver.srv_lookup(name).await.map_err(unanswered)?;
        let records = found.answers().iter().filter_map(|record| match &record.data {
            RData::SRV(record) => Some(record.clone()),
            _ => None,
        });
        let records: Vec<SRV> = records.collect();
        match records.as_slice() {
            [] => Err(SrvError::NoRecords(service())),
            [only] if only.target.is_root() => Err(SrvError::NoService(service())),
            _ => Ok(records),
        }
    }

    fn resolver(&self) -> Result<TokioResolver, NetError> {
        let Some(address) = self.name_server else { return TokioResolver::builder_tokio()?.build() };
        let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
        connections.iter_mut().for_each(|connection| connection.port = address.port());
        let server = NameServerConfig::new(address.ip(), true, connections);
        let config = ResolverConfig::from_name_servers(vec![server]);
        Resolver::builder_with_config(config, TokioRuntimeProvider::default()).build()
    }
}

impl Connect for Srv {
    /// # Errors
    ///
    /// [`SrvError`]s, and the failure at the last of the servers.
    fn connect(&self) -> BoxFuture<'_, io::Result<BoxTransport>> {
        Box::pin(self.open())
    }
}

impl fmt::Debug for Srv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Srv").field("service", &self.service).finish_non_exhaustive()
    }
}

/// The order of trying. `random` gives a number from 0 to the one that it is given.
fn order(mut records: Vec<SRV>, mut random: impl FnMut(u32) -> u32) -> Vec<Target> {
    // Those without weight first, so that they have a small chance of being chosen.
    records.sort_by_key(|record| (record.priority, record.weight != 0));
    let mut targets = Vec::with_capacity(records.len());
    while let Some(priority) = records.first().map(|record| record.priority) {
        let same = records.iter().take_while(|record| record.priority == priority);
        let weights: Vec<u32> = same.map(|record| record.weight.into()).collect();
        let mut left = random(weights.iter().sum());
        // The first whose weight, and those before it, reach the number.
        let chosen = weights.iter().position(|weight| match left.checked_sub(*weight) {
            None | Some(0) => true,
            Some(rest) => {
                left = rest;
                false
            }
        });
        let SRV { target, port, .. } = records.remove(chosen.unwrap_or_default());
        targets.push((target.to_ascii().trim_end_matches('.').to_owned(), port));
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::proto::rr::Name;

    fn record(priority: u16, weight: u16, port: u16) -> SRV {
        SRV::new(priority, weight, port, Name::from_ascii("a.").unwrap())
    }

    fn ports(records: &[SRV], random: impl FnMut(u32) -> u32) -> Vec<u16> {
        order(records.to_vec(), random).into_iter().map(|(_, port)| port).collect()
    }

    #[test]
    fn priorities_come_before_weights() {
        let records = [record(20, 9, 4), record(10, 1, 2), record(10, 3, 3), record(10, 0, 1)];
        assert_eq!(ports(&records, |_| 0), [1, 2, 3, 4]);
        assert_eq!(ports(&records, |most| most), [3, 2, 1, 4]);
        assert_eq!(ports(&[], |_| 0), [] as [u16; 0]);
    }

    #[test]
    fn weights_are_chances() {
        let records = [record(1, 10, 1), record(1, 30, 3), record(1, 0, 0)];
        let mut random = fastrand::Rng::with_seed(7);
        let mut first = [0; 4];
        for _ in 0..4100 {
            let chosen = ports(&records, |most| random.u32(0..=most));
            first[usize::from(chosen[0])] += 1;
        }
        let near = |count: i32, expected: i32| (count - expected).abs() < 150;
        assert!(near(first[0], 100) && near(first[1], 1000) && near(first[3], 3000), "{first:?}");
    }
}
