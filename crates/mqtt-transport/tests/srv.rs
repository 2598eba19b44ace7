//! The servers that a domain names: a name server by hand, and servers on loopback.

#![cfg(feature = "srv")]

use core::net::SocketAddr;
use core::time::Duration;
use mqtt_transport::srv::{Srv, SrvError};
use mqtt_transport::{BoxFuture, BoxTransport, Connect, Tcp};
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, UdpSocket};
use tokio::time::timeout;

const SERVICE: &str = "_mqtt._tcp.example.org";

/// Priority, weight, port, target.
type Record = (u16, u16, u16, &'static str);

/// A name server that knows these records, or gives this code if there are none.
async fn name_server(records: &[Record], code: u8) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let answers: Vec<Vec<u8>> = records.iter().map(answer).collect();
    tokio::spawn(async move {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query).await {
            // The question ends with a name's last label, type and class; what comes behind it is not answered.
            let end = 12 + query[12..length].iter().position(|byte| *byte == 0).unwrap() + 5;
            assert_eq!(query[end - 4..end], [0, 33, 0, 1], "SRV, IN");
            let count = u8::try_from(answers.len()).unwrap();
            let mut reply = vec![query[0], query[1], 0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0];
            reply.extend(&query[12..end]);
            reply.extend(answers.concat());
            socket.send_to(&reply, from).await.unwrap();
        }
    });
    address
}

fn answer((priority, weight, port, target): &Record) -> Vec<u8> {
    let mut data = Vec::new();
    [priority, weight, port].iter().for_each(|number| data.extend(number.to_be_bytes()));
    for label in target.split('.').filter(|label| !label.is_empty()) {
        data.push(u8::try_from(label.len()).unwrap());
        data.extend(label.as_bytes());
    }
    data.push(0);
    // The name of the question, SRV, IN, a minute.
    let mut answer = vec![0xC0, 12, 0, 33, 0, 1, 0, 0, 0, 60, 0, u8::try_from(data.len()).unwrap()];
    answer.extend(data);
    answer
}

fn tcp(host: &str, port: u16) -> Arc<dyn Connect> {
    Arc::new(Tcp::new(host, port))
}

fn reason(opened: io::Result<BoxTransport>) -> (SrvError, ErrorKind) {
    let error = opened.err().expect("that it fails");
    let reason = error.get_ref().and_then(|inner| inner.downcast_ref::<SrvError>());
    (reason.unwrap_or_else(|| panic!("{error:?}")).clone(), error.kind())
}

#[tokio::test]
async fn the_next_server_takes_over() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let names = name_server(&[(20, 0, port, "localhost."), (10, 5, 1, "localhost.")], 0).await;
    let srv = Srv::new(SERVICE, tcp).name_server(names);
    drop(srv.connect().await.unwrap());
    assert_eq!(listener.accept().await.unwrap().0.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn the_last_failure_is_told() {
    let names = name_server(&[(10, 5, 1, "localhost.")], 0).await;
    let error = Srv::new(SERVICE, tcp).name_server(names).connect().await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
}

#[tokio::test]
async fn a_service_that_is_not_there_is_told() {
    let ask = async |records: &[Record], code| {
        let names = name_server(records, code).await;
        reason(Srv::new(SERVICE, tcp).name_server(names).connect().await)
    };
    let none = (SrvError::NoRecords(SERVICE.into()), ErrorKind::NotFound);
    assert_eq!(ask(&[], 0).await, none);
    assert_eq!(ask(&[], 3).await, none);
    let (refused, kind) = ask(&[], 5).await;
    assert!(matches!((&refused, kind), (SrvError::NotAnswered(..), ErrorKind::HostUnreachable)), "{refused}");
    assert_eq!(
        ask(&[(0, 0, 0, ".")], 0).await,
        (SrvError::NoService(SERVICE.into()), ErrorKind::Unsupported)
    );
}

/// Never opens, and notes that it was asked.
struct Silent(u16, Arc<Mutex<Vec<u16>>>);

impl Connect for Silent {
    fn connect(&self) -> BoxFuture<'_, io::Result<BoxTransport>> {
        Box::pin(async {
            self.1.lock().unwrap().push(self.0);
            core::future::pending().await
        })
    }
}

/// A server that says nothing uses up the attempt: the next one begins with the others.
#[tokio::test]
async fn a_silent_server_goes_to_the_end() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = asked.clone();
    let names = name_server(&[(1, 0, 1, "a."), (2, 0, 2, "b.")], 0).await;
    let srv = Srv::new(SERVICE, move |_, port| Arc::new(Silent(port, noted.clone()))).name_server(names);
    for _ in 0..3 {
        assert!(timeout(Duration::from_millis(200), srv.connect()).await.is_err());
    }
    assert_eq!(*asked.lock().unwrap(), [1, 2, 1]);
}
