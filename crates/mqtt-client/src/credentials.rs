//! User name and password that are asked for anew at each connection.

use crate::error::{ConnectError, OptionFault};
use bytes::Bytes;
use core::error::Error;
use core::fmt;
use mqtt_session::Text;
use mqtt_transport::BoxFuture;
use std::sync::Arc;

/// User name and password, section 3.1.3.5, for one connection: what a
/// [`credentials_provider`](crate::ConnectBuilder::credentials_provider) returns.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    username: Option<String>,
    password: Option<Bytes>,
}

impl Credentials {
    /// Both.
    pub fn new(username: impl Into<String>, password: impl Into<Bytes>) -> Self {
        Self { username: Some(username.into()), password: Some(password.into()) }
    }

    /// A password without a user name, such as a token; 5.0 only.
    pub fn token(password: impl Into<Bytes>) -> Self {
        Self { username: None, password: Some(password.into()) }
    }

    pub(crate) fn checked(self) -> Result<(Option<Text>, Option<Bytes>), ConnectError> {
        let wrong = |fault| ConnectError::InvalidOption { option: "credentials_provider", fault };
        let username = self.username.map(Text::try_from).transpose();
        let username = username.map_err(|error| wrong(error.into()))?;
        match self.password {
            Some(long) if long.len() > usize::from(u16::MAX) => {
                Err(wrong(OptionFault::TooLong("65,535 bytes")))
            }
            password => Ok((username, password)),
        }
    }
}

/// Shows nothing.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// Asks for the credentials of one connection.
pub(crate) type AskCredentials =
    Arc<dyn Fn() -> BoxFuture<'static, Result<Credentials, CredentialsError>> + Send + Sync>;

/// Why there are no credentials: any error.
pub(crate) type CredentialsError = Box<dyn Error + Send + Sync>;
