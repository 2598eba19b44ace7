//! Enhanced authentication by SCRAM-SHA-256, RFC 5802 and 7677: the password is never sent, and the server proves that
//! it knows it too. The mechanism itself comes from the crate `rsasl`.
//!
//! ```sh
//! cargo run -p mqtt-client --example scram -- mqtt://broker.example USER PASSWORD
//! ```

use bytes::Bytes;
use mqtt_client::{Authenticator, AuthenticatorError, Protocol, connect};
use rsasl::config::SASLConfig;
use rsasl::mechname::Mechname;
use rsasl::prelude::{SASLClient, SASLError, Session};
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), AuthenticatorError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, user, password] = arguments.as_slice() else {
        return Err("usage: scram URL USER PASSWORD".into());
    };
    let credentials = Credentials::new(user, password)?;
    let client = connect(url).protocol(Protocol::V5).authenticator(move || Scram::new(&credentials)).await?;
    println!("connected: {user} and the server know each other");

    client.reauthenticate().await?;
    println!("and still do");
    client.disconnect().await?;
    Ok(())
}

/// What all runs share.
pub(crate) struct Credentials(Arc<SASLConfig>);

impl Credentials {
    pub(crate) fn new(user: &str, password: &str) -> Result<Self, SASLError> {
        SASLConfig::with_credentials(None, user.to_owned(), password.to_owned()).map(Self)
    }
}

/// One run of the mechanism.
pub(crate) struct Scram {
    config: Arc<SASLConfig>,
    session: Option<Session>,
    /// The server has proved that it knows the password.
    proven: bool,
}

impl Scram {
    const METHOD: &str = "SCRAM-SHA-256";

    pub(crate) fn new(credentials: &Credentials) -> Self {
        Self { config: credentials.0.clone(), session: None, proven: false }
    }

    fn step(&mut self, input: Option<&[u8]>) -> Result<Bytes, AuthenticatorError> {
        // The crate takes each attribute to be at least a letter and an equals sign.
        if input.is_some_and(|input| input.split(|byte| *byte == b',').any(|attribute| attribute.len() < 2)) {
            return Err("the server sent something that is not SCRAM".into());
        }
        let session = self.session.as_mut().ok_or("it has not begun")?;
        let mut output = Vec::new();
        self.proven = session.step(input, &mut output)?.is_finished();
        Ok(output.into())
    }
}

impl Authenticator for Scram {
    fn method(&self) -> &str {
        Self::METHOD
    }

    fn begin(&mut self) -> Result<Bytes, AuthenticatorError> {
        let mechanism = Mechname::parse(Self::METHOD.as_bytes())?;
        self.session = Some(SASLClient::new(self.config.clone()).start_suggested(&[mechanism])?);
        self.step(None)
    }

    fn answer(&mut self, challenge: &[u8]) -> Result<Bytes, AuthenticatorError> {
        self.step(Some(challenge))
    }

    fn finish(&mut self, data: &[u8]) -> Result<(), AuthenticatorError> {
        // Some servers put their proof into a last challenge instead.
        if !self.proven {
            self.step(Some(data))?;
        }
        if self.proven { Ok(()) } else { Err("the server has not proved that it knows the password".into()) }
    }
}
