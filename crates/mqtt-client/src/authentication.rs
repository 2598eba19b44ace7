//! Enhanced authentication, section 4.12: the application's part, and what the driver makes of it.

use crate::driver::Driver;
use crate::error::{AuthenticationError, ConnectError, OptionFault};
use bytes::Bytes;
use core::error::Error;
use mqtt_session::{Auth, Disconnect, PropertiesBuf, ReasonCode, Text, UsageError};
use std::sync::Arc;
use tokio::sync::oneshot;

/// One run of an authentication by challenge and answer, section 4.12; 5.0 only. A new one is made for each connection
/// and each re-authentication, see [`ConnectBuilder::authenticator`](crate::ConnectBuilder::authenticator).
///
/// The example `scram.rs` of this crate is SCRAM-SHA-256 in sixty lines. The methods are called from the client's task,
/// which does nothing else meanwhile: what takes long, such as asking another server for a ticket, belongs before the
/// connecting.
///
/// An error from any of them ends the connection, [`ConnectError::Authentication`], and the client, since it does not try
/// again by itself: a server that cannot prove who it is today is none to send the next attempt to. Only a
/// re-authentication that could not begin leaves everything as it was.
pub trait Authenticator: Send {
    /// The name of the method, the same for all connections of a client, such as `SCRAM-SHA-256`.
    fn method(&self) -> &str;

    /// The data that CONNECT carries, or the AUTH that begins a re-authentication; empty for none. Called first, once.
    ///
    /// # Errors
    ///
    /// There is nothing to begin with.
    fn begin(&mut self) -> Result<Bytes, AuthenticatorError>;

    /// The answer to a challenge; empty for an answer without data.
    ///
    /// # Errors
    ///
    /// The challenge is none, or shows that the server is not to be trusted.
    fn answer(&mut self, challenge: &[u8]) -> Result<Bytes, AuthenticatorError>;

    /// The server has accepted, with this data beside it, empty if it sent none. Called last, once, before anything else
    /// that the server sent is believed: this is where a server that has to prove itself has done so or not.
    ///
    /// # Errors
    ///
    /// The proof is missing or wrong.
    fn finish(&mut self, data: &[u8]) -> Result<(), AuthenticatorError>;
}

/// Why an [`Authenticator`] cannot go on: any error.
pub type AuthenticatorError = Box<dyn Error + Send + Sync>;

/// Makes the authenticator of one connection.
pub(crate) type NewAuthenticator = Arc<dyn Fn() -> Box<dyn Authenticator> + Send + Sync>;

/// Who waits for a re-authentication.
pub(crate) type Reauthenticating = oneshot::Sender<Result<(), AuthenticationError>>;

/// How far the authentication on the current connection is.
#[derive(Default)]
pub(crate) struct Authentication {
    /// The run that has not ended.
    current: Option<Box<dyn Authenticator>>,
    /// Who waits for its end, if the server had accepted the client before.
    waiting: Option<Reauthenticating>,
    /// The authenticator would not go on: why the connection ends.
    pub(crate) failure: Option<ConnectError>,
}

impl Authentication {
    /// The connection is over; who waits is told.
    pub(crate) fn end(&mut self, cause: &ConnectError) {
        let Self { waiting, .. } = core::mem::take(self);
        if let Some(waiting) = waiting {
            // Nobody need be there any more.
            _ = waiting.send(Err(AuthenticationError::Failed(cause.clone())));
        }
    }
}

impl Driver {
    /// A transport is open: CONNECT shall say who is there, name the method, and carry the first data.
    pub(crate) fn introduce(
        &mut self,
        (username, password): (Option<Text>, Option<Bytes>),
    ) -> Result<(), ConnectError> {
        self.session.set_credentials(username, password).map_err(|error| ConnectError::InvalidOption {
            option: "credentials",
            fault: OptionFault::Session(error),
        })?;
        let Some(new) = &self.plan.authenticator else { return Ok(()) };
        let mut authenticator = new();
        let begun = begin(authenticator.as_mut()).map_err(failed)?;
        self.session.set_authentication(begun.0, begun.1).map_err(|error| failed(error.into()))?;
        self.authentication.current = Some(authenticator);
        Ok(())
    }

    /// The server sent AUTH.
    pub(crate) fn challenged(&mut self, auth: &Auth) {
        let data = auth.properties.view().authentication_data().unwrap_or_default();
        if auth.reason == ReasonCode::SUCCESS {
            self.finish_authentication(data);
            return;
        }
        let answer = match &mut self.authentication.current {
            Some(authenticator) => authenticator
                .answer(data)
                .and_then(|answer| Ok((Text::try_from(authenticator.method())?, answer))),
            None => Err("the server wants an answer, and there is no authenticator to give it".into()),
        };
        let sent = answer.and_then(|(method, data)| {
            Ok(self.send_auth(ReasonCode::CONTINUE_AUTHENTICATION, &method, &data)?)
        });
        if let Err(error) = sent {
            self.give_up(error);
        }
    }

    /// The server has accepted. False if it could not prove itself; the connection then ends.
    pub(crate) fn finish_authentication(&mut self, data: &[u8]) -> bool {
        let Some(mut authenticator) = self.authentication.current.take() else { return true };
        if let Err(error) = authenticator.finish(data) {
            self.give_up(error);
            return false;
        }
        if let Some(waiting) = self.authentication.waiting.take() {
            // Nobody need be there any more.
            _ = waiting.send(Ok(()));
        }
        true
    }

    pub(crate) fn reauthenticate(&mut self, waiting: Reauthenticating) {
        match self.begin_reauthentication() {
            Ok(()) => self.authentication.waiting = Some(waiting),
            Err(error) => _ = waiting.send(Err(error)),
        }
    }

    /// `[MQTT-4.12.1-1]`: by the method of CONNECT; the session sees to that.
    fn begin_reauthentication(&mut self) -> Result<(), AuthenticationError> {
        let Some(new) = &self.plan.authenticator else { return Err(AuthenticationError::NoAuthenticator) };
        if !self.session.is_connected() {
            return Err(AuthenticationError::NotConnected);
        }
        if self.authentication.current.is_some() {
            return Err(AuthenticationError::UnderWay);
        }
        let mut authenticator = new();
        let (method, data) = begin(authenticator.as_mut())
            .map_err(|error| AuthenticationError::Authenticator(error.into()))?;
        self.send_auth(ReasonCode::RE_AUTHENTICATE, &method, &data)?;
        self.authentication.current = Some(authenticator);
        Ok(())
    }

    fn send_auth(&mut self, reason: ReasonCode, method: &str, data: &[u8]) -> Result<(), UsageError> {
        let block = PropertiesBuf::builder().authentication_method(method);
        let block = if data.is_empty() { block } else { block.authentication_data(data) };
        self.session.authenticate(Auth { reason, properties: block.build()? })
    }

    /// The connection ends with this, and nothing that the server said on it counts any more `[MQTT-4.12.1-2]`.
    fn give_up(&mut self, error: AuthenticatorError) {
        self.authentication.failure = Some(failed(error));
        // A reason of 0x80 or more: the will is still published.
        _ = self.session.disconnect(Disconnect::new(ReasonCode::UNSPECIFIED_ERROR));
    }
}

fn begin(authenticator: &mut dyn Authenticator) -> Result<(Text, Bytes), AuthenticatorError> {
    let data = authenticator.begin()?;
    Ok((Text::try_from(authenticator.method())?, data))
}

fn failed(error: AuthenticatorError) -> ConnectError {
    ConnectError::Authentication(error.into())
}
