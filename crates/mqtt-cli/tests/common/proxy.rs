//! Proxies that let pass whoever has the credentials: SOCKS5 and HTTP.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

/// The user `ann` with the password `s3cret`, as `Proxy-Authorization` has it.
const BASIC: &str = "proxy-authorization: basic yw5uonmzy3jlda==";
/// The same, RFC 1929.
const PASSWORD: &[u8] = b"\x01\x03ann\x06s3cret";

/// Which way a client asks.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Socks5,
    Http,
}

/// Starts one, and gives its port. It serves until the test ends.
pub(crate) fn start(kind: Kind) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            thread::spawn(move || {
                let asked = match kind {
                    Kind::Socks5 => socks5(&client),
                    Kind::Http => http(&client),
                };
                if let Ok(Some(server)) = asked {
                    carry(&client, &server);
                }
            });
        }
    });
    port
}

/// RFC 1928, with user name and password.
fn socks5(mut client: &TcpStream) -> io::Result<Option<TcpStream>> {
    let [_, methods] = take(client)?;
    let mut offered = vec![0; methods.into()];
    client.read_exact(&mut offered)?;
    if !offered.contains(&2) {
        client.write_all(&[5, 0xFF])?;
        return Ok(None);
    }
    client.write_all(&[5, 2])?;
    let mut said = vec![0; PASSWORD.len()];
    client.read_exact(&mut said)?;
    let known = said == PASSWORD;
    client.write_all(&[1, u8::from(!known)])?;
    if !known {
        return Ok(None);
    }
    let [_, _, _, kind, length] = take(client)?;
    assert_eq!(kind, 3, "the proxy resolves the name");
    let mut name = vec![0; length.into()];
    client.read_exact(&mut name)?;
    let port = u16::from_be_bytes(take(client)?);
    let server = TcpStream::connect((String::from_utf8_lossy(&name).as_ref(), port))?;
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
    Ok(Some(server))
}

fn http(mut client: &TcpStream) -> io::Result<Option<TcpStream>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(take::<1>(client)?);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    if !head.lines().any(|line| line == BASIC) {
        client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")?;
        return Ok(None);
    }
    let target = head.split_whitespace().nth(1).unwrap_or_default();
    let server = TcpStream::connect(target)?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    Ok(Some(server))
}

fn take<const N: usize>(mut client: &TcpStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    client.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Both ways, until either side ends.
fn carry(client: &TcpStream, server: &TcpStream) {
    thread::scope(|scope| {
        for (mut from, mut to) in [(client, server), (server, client)] {
            scope.spawn(move || {
                // An error is an end too.
                let _ = io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Write);
            });
        }
    });
}
