//! README's quickstart with each scheme of a URL.

use crate::stand::{Kind, Stand};
use std::env;
use tokio::process::Command;

#[allow(dead_code, reason = "its main is not called")]
#[path = "../../examples/quickstart.rs"]
mod example;

/// Names the server for the test below, when it runs in a process of its own.
const URL: &str = "QUICKSTART_URL";

/// With a broker of its own, as without an argument, or that of the URL.
#[tokio::test]
async fn runs() {
    example::run(env::var(URL).ok()).await.unwrap();
}

/// Whom the system trusts is looked up once in each process, so each quickstart has one, as it has for its users.
#[tokio::test]
async fn with_each_scheme() {
    let mosquitto = [Kind::Tls, Kind::WebSocket, Kind::SecureWebSocket, Kind::Unix];
    let mut stands = vec![Stand::testkit(Kind::Quic).await];
    for kind in mosquitto {
        stands.push(Stand::mosquitto(kind).await);
    }
    let mut schemes = Vec::new();
    for stand in &stands {
        for url in [stand.url(), &stand.plain_url()] {
            // The certificate's name.
            let url = url.replace("127.0.0.1", "localhost");
            let program = env::current_exe().unwrap();
            let mut command = Command::new(program);
            command.args(["quickstart::runs", "--exact", "--nocapture"]);
            command.env(URL, &url).env("SSL_CERT_FILE", stand.certificates.file("ca.pem"));
            let output = command.output().await.unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{url}: {said} {}", String::from_utf8_lossy(&output.stderr));
            assert!(said.contains(&url) && said.matches("hello at QoS").count() == 9, "{url}: {said}");
            schemes.extend(url.split_once("://").map(|(scheme, _)| scheme.to_owned()));
        }
    }
    schemes.sort();
    schemes.dedup();
    assert_eq!(schemes, ["mqtt", "mqtts", "quic", "unix", "ws", "wss"]);
}
