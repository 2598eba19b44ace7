//! What goes wrong, each with a name of its own and a kind that says whether it can pass.

use crate::common::{NOW, answering, authority, echo, failure, issued, self_signed, server, talk};
use mqtt_transport::Tcp;
use mqtt_transport_tls::{Tls, TlsError, TlsOptions};
use std::io::ErrorKind;

#[tokio::test]
async fn a_certificate_has_its_time() {
    let authority = authority("CA");
    let options = || TlsOptions::new().ca_pem(authority.pem());
    let expired = echo(server(&issued(&authority, "localhost", (2000, 2001)), None, true)).await;
    assert!(matches!(failure(expired, options()).await, (TlsError::Expired, ErrorKind::InvalidData)));
    let early = echo(server(&issued(&authority, "localhost", (2090, 2091)), None, true)).await;
    assert!(matches!(failure(early, options()).await, (TlsError::NotYetValid, ErrorKind::InvalidData)));
}

#[tokio::test]
async fn a_certificate_has_its_names() {
    let authority = authority("CA");
    let port = echo(server(&issued(&authority, "other.example", NOW), None, true)).await;
    let (error, kind) = failure(port, TlsOptions::new().ca_pem(authority.pem())).await;
    assert_eq!(kind, ErrorKind::InvalidData);
    assert_eq!(
        error.to_string(),
        "the server's certificate is not for localhost, but for DnsName(\"other.example\")"
    );
    // The name can be overridden.
    let options = TlsOptions::new().ca_pem(authority.pem()).server_name("other.example");
    talk(port, options).await.unwrap();
}

#[tokio::test]
async fn a_certificate_has_an_issuer_who_is_trusted() {
    let (trusted, stranger) = (authority("trusted"), authority("stranger"));
    let port = echo(server(&issued(&stranger, "localhost", NOW), None, true)).await;
    let (error, kind) = failure(port, TlsOptions::new().ca_pem(trusted.pem())).await;
    assert!(matches!((error, kind), (TlsError::UnknownIssuer, ErrorKind::InvalidData)));
    let identity = self_signed("localhost");
    let port = echo(server(&identity, None, true)).await;
    let (error, kind) = failure(port, TlsOptions::new().ca_pem(trusted.pem())).await;
    assert!(matches!((error, kind), (TlsError::SelfSigned, ErrorKind::InvalidData)));
    // The platform trusts it no more than we do.
    let (error, _) = failure(port, TlsOptions::new()).await;
    assert!(matches!(error, TlsError::SelfSigned | TlsError::NoRoots(_)), "{error}");
    // It can be named as what it is.
    talk(port, TlsOptions::new().ca_pem(identity.chain)).await.unwrap();
}

/// In TLS 1.3 the refusal comes when the client believes itself connected.
#[tokio::test]
async fn a_server_may_want_a_client_certificate() {
    let (ours, stranger) = (authority("CA"), authority("stranger"));
    let identity = issued(&ours, "localhost", NOW);
    let trust = || TlsOptions::new().ca_pem(ours.pem());
    for tls_1_3 in [true, false] {
        let port = echo(server(&identity, Some(&ours), tls_1_3)).await;
        let (error, kind) = failure(port, trust()).await;
        assert_eq!(kind, ErrorKind::InvalidData);
        match tls_1_3 {
            true => assert!(matches!(error, TlsError::ClientCertificateRequired), "{error}"),
            false => assert!(
                matches!(error, TlsError::ClientCertificateRequired | TlsError::HandshakeRefused),
                "{error}"
            ),
        }
        let wrong = issued(&stranger, "client", NOW);
        let (error, kind) = failure(port, trust().client_certificate_pem(wrong.chain, wrong.key)).await;
        assert!(matches!(error, TlsError::ClientCertificateRefused(_)), "{error}");
        assert_eq!(kind, ErrorKind::InvalidData);
        let right = issued(&ours, "client", NOW);
        talk(port, trust().client_certificate_pem(right.chain, right.key)).await.unwrap();
    }
}

#[tokio::test]
async fn plain_text_on_a_port_of_tls_is_no_tls() {
    // CONNACK of a plain broker; a line of a web server.
    for bytes in [&b"\x20\x02\x00\x01"[..], b"HTTP/1.1 400 Bad Request\r\n\r\n"] {
        let port = answering(bytes).await;
        let (error, kind) = failure(port, TlsOptions::new().dangerous_accept_any_certificate()).await;
        assert!(matches!((error, kind), (TlsError::NotTls, ErrorKind::InvalidData)));
    }
}

#[tokio::test]
async fn a_server_that_closes_may_come_back() {
    let port = answering(b"").await;
    let (error, kind) = failure(port, TlsOptions::new().dangerous_accept_any_certificate()).await;
    assert!(matches!((error, kind), (TlsError::HandshakeClosed, ErrorKind::UnexpectedEof)));
}

/// A server with TLS 1.1 only answers with the alert `protocol_version`.
#[tokio::test]
async fn old_tls_is_refused_by_name() {
    let port = answering(b"\x15\x03\x02\x00\x02\x02\x46").await;
    let (error, kind) = failure(port, TlsOptions::new().dangerous_accept_any_certificate()).await;
    assert!(matches!((error, kind), (TlsError::OldTls, ErrorKind::Unsupported)));
}

#[tokio::test]
async fn protocols_must_agree() {
    let authority = authority("CA");
    let mut config = server(&issued(&authority, "localhost", NOW), None, true);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let port = echo(config).await;
    let (error, kind) = failure(port, TlsOptions::new().ca_pem(authority.pem()).alpn(["mqtt"])).await;
    assert!(matches!((error, kind), (TlsError::Alpn, ErrorKind::Unsupported)));
    talk(port, TlsOptions::new().ca_pem(authority.pem()).alpn(["mqtt", "h2"])).await.unwrap();
}

#[tokio::test]
async fn a_pin_holds_whatever_the_chain_says() {
    use sha2::Digest;
    let authority = authority("CA");
    let identity = issued(&authority, "localhost", NOW);
    let port = echo(server(&identity, None, true)).await;
    let options = || TlsOptions::new().ca_pem(authority.pem());
    let (error, kind) = failure(port, options().pin_sha256([7; 32])).await;
    assert!(matches!((error, kind), (TlsError::PinMismatch, ErrorKind::InvalidData)));
    let any = TlsOptions::new().dangerous_accept_any_certificate().pin_sha256([7; 32]);
    assert!(matches!(failure(port, any).await.0, TlsError::PinMismatch));
    let key =
        rcgen::PublicKeyData::subject_public_key_info(&rcgen::KeyPair::from_pem(&identity.key).unwrap());
    let pin = sha2::Sha256::digest(key).into();
    talk(port, options().pin_sha256([7; 32]).pin_sha256(pin)).await.unwrap();
}

#[tokio::test]
async fn files_are_named() {
    let authority = authority("CA");
    let identity = issued(&authority, "localhost", NOW);
    let other = issued(&authority, "localhost", NOW);
    let port = echo(server(&identity, None, true)).await;
    let (error, kind) = failure(port, TlsOptions::new().ca_file("/no/such/file.pem")).await;
    assert!(matches!(&error, TlsError::File { path, .. } if path == "/no/such/file.pem"), "{error}");
    assert_eq!(kind, ErrorKind::InvalidInput);
    let (error, _) = failure(port, TlsOptions::new().ca_pem("nothing")).await;
    assert!(matches!(error, TlsError::Pem { wanted: "certificate", .. }), "{error}");
    let options = TlsOptions::new().ca_pem(authority.pem());
    let (error, _) =
        failure(port, options.clone().client_certificate_pem(identity.chain.clone(), "no key")).await;
    assert!(matches!(error, TlsError::Pem { wanted: "unencrypted private key", .. }), "{error}");
    let (error, _) = failure(port, options.client_certificate_pem(identity.chain, other.key)).await;
    assert!(matches!(error, TlsError::KeyMismatch(_)), "{error}");
}

#[test]
fn a_name_that_is_none_fails_at_once() {
    for name in ["", "a b", "[::1]"] {
        let error = Tls::new(Tcp::new("host", 1), name, TlsOptions::new()).err();
        assert!(matches!(error, Some(TlsError::InvalidServerName(said)) if said == name));
    }
    assert!(Tls::new(Tcp::new("host", 1), "::1", TlsOptions::new()).is_ok());
}
