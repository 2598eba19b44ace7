//! What may be between MQTT and TCP.
//!
//! A read hands on all that has come, as one of TCP does: who puts each packet into a record or frame of its own is not to
//! be punished by an acknowledgement for each.

use crate::frame;
use e2e_common::Transport;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection};
use std::io::{BufReader, Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use tungstenite::handshake::server::{Request, Response};
use tungstenite::http::HeaderValue;
use tungstenite::{Message, WebSocket};

/// The other end of one connection.
pub(crate) trait Stream {
    /// Waits for bytes; 0 at the end.
    fn receive(&mut self, into: &mut [u8]) -> Result<usize>;
    /// `packets` are whole packets.
    fn send(&mut self, packets: &[u8]) -> Result<()>;
}

#[derive(Clone)]
pub(crate) struct Acceptor {
    tls: Option<Arc<ServerConfig>>,
}

impl Acceptor {
    /// With TLS if there is a file for the authority's certificate.
    pub(crate) fn new(ca: Option<&Path>) -> Result<Self> {
        Ok(Self { tls: ca.map(configure).transpose()?.map(Arc::new) })
    }

    pub(crate) fn accept(&self, tcp: TcpStream, transport: Transport) -> Result<Box<dyn Stream>> {
        Ok(match transport {
            Transport::Tcp => Box::new(Plain(tcp)),
            Transport::Tls => Box::new(Plain(self.tls(tcp)?)),
            Transport::Ws => Box::new(Frames::accept(Plain(tcp))?),
            Transport::Wss => Box::new(Frames::accept(Plain(self.tls(tcp)?))?),
        })
    }

    fn tls(&self, tcp: TcpStream) -> Result<Tls> {
        let config = self.tls.clone().ok_or(ErrorKind::Unsupported)?;
        let mut session = ServerConnection::new(config).map_err(Error::other)?;
        session.set_buffer_limit(None);
        let mut tls = Tls { session, tcp: BufReader::with_capacity(RECORDS, tcp) };
        while tls.session.is_handshaking() {
            tls.turn()?;
        }
        tls.write_records()?;
        Ok(tls)
    }
}

/// Read at once from below TLS.
const RECORDS: usize = 64 * 1024;

/// An authority and a certificate for this run. One cipher, the one that mosquitto and most others would choose.
fn configure(ca: &Path) -> Result<ServerConfig> {
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, "authority of one run of a bench");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().map_err(Error::other)?);
    let authority = authority.map_err(Error::other)?;
    std::fs::write(ca, authority.pem())?;

    let key = KeyPair::generate().map_err(Error::other)?;
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names).and_then(|params| params.signed_by(&key, &authority));
    let certificate = certificate.map_err(Error::other)?;
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(Error::other)?;

    let mut provider = ring::default_provider();
    provider.cipher_suites = vec![ring::cipher_suite::TLS13_AES_256_GCM_SHA384];
    ServerConfig::builder_with_provider(provider.into())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![certificate.into()], key))
        .map_err(Error::other)
}

struct Plain<S>(S);

impl<S: Read + Write> Stream for Plain<S> {
    fn receive(&mut self, into: &mut [u8]) -> Result<usize> {
        self.0.read(into)
    }

    fn send(&mut self, packets: &[u8]) -> Result<()> {
        self.0.write_all(packets)
    }
}

struct Tls {
    session: ServerConnection,
    tcp: BufReader<TcpStream>,
}

impl Tls {
    /// Takes what there is from below; 0 at the end.
    fn turn(&mut self) -> Result<usize> {
        self.write_records()?;
        let read = self.session.read_tls(&mut self.tcp)?;
        self.session.process_new_packets().map_err(Error::other)?;
        Ok(read)
    }

    fn write_records(&mut self) -> Result<()> {
        while self.session.wants_write() {
            self.session.write_tls(self.tcp.get_mut())?;
        }
        Ok(())
    }
}

impl Read for Tls {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        loop {
            match self.session.reader().read(&mut into[filled..]) {
                Ok(0) => return Ok(filled),
                Ok(read) => filled += read,
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
                Err(_) if filled > 0 && self.tcp.buffer().is_empty() => return Ok(filled),
                Err(_) if self.turn()? == 0 => return Ok(filled),
                Err(_) => {}
            }
        }
    }
}

impl Write for Tls {
    fn write(&mut self, from: &[u8]) -> Result<usize> {
        let written = self.session.writer().write(from)?;
        self.write_records()?;
        Ok(written)
    }

    fn flush(&mut self) -> Result<()> {
        self.write_records()
    }
}

/// A WebSocket with a frame for each packet, as most servers have it.
struct Frames<S> {
    socket: WebSocket<Patient<S>>,
    /// What is left of a frame that did not fit.
    rest: tungstenite::Bytes,
}

impl<S: Read + Write> Frames<S> {
    #[expect(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
    fn accept(stream: Plain<S>) -> Result<Self> {
        let mqtt = |_: &Request, mut response: Response| {
            response.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("mqtt"));
            Ok(response)
        };
        let socket = tungstenite::accept_hdr(Patient { inner: stream.0, waits: true }, mqtt);
        let socket = socket.map_err(|error| Error::other(error.to_string()))?;
        Ok(Self { socket, rest: tungstenite::Bytes::new() })
    }
}

impl<S: Read + Write> Stream for Frames<S> {
    fn receive(&mut self, into: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        loop {
            let fits = self.rest.len().min(into.len() - filled);
            into[filled..filled + fits].copy_from_slice(&self.rest.split_to(fits));
            filled += fits;
            if filled == into.len() {
                return Ok(filled);
            }
            // The first frame is waited for, the others only taken.
            self.socket.get_mut().waits = filled == 0;
            match self.socket.read() {
                Ok(Message::Binary(bytes)) => self.rest = bytes,
                Ok(Message::Close(_)) | Err(tungstenite::Error::ConnectionClosed) => return Ok(filled),
                Ok(_) => {}
                Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok(filled);
                }
                Err(error) => return Err(Error::other(error)),
            }
        }
    }

    fn send(&mut self, mut packets: &[u8]) -> Result<()> {
        while let Some((_, whole)) = frame(packets) {
            let packet = tungstenite::Bytes::copy_from_slice(&packets[..whole]);
            self.socket.write(Message::Binary(packet)).map_err(Error::other)?;
            packets = &packets[whole..];
        }
        self.socket.flush().map_err(Error::other)
    }
}

/// Waits for bytes only if it is told to.
struct Patient<S> {
    inner: S,
    waits: bool,
}

impl<S: Read> Read for Patient<S> {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        if self.waits { self.inner.read(into) } else { Err(ErrorKind::WouldBlock.into()) }
    }
}

impl<S: Write> Write for Patient<S> {
    fn write(&mut self, from: &[u8]) -> Result<usize> {
        self.inner.write(from)
    }

    fn flush(&mut self) -> Result<()> {
        self.inner.flush()
    }
}
