//! From the options to a client that runs.

use super::ConnectBuilder;
use crate::address::Address;
use crate::client::Client;
use crate::clock::Clock;
use crate::connection::Status;
use crate::driver::Driver;
use crate::error::{ConnectError, OptionFault};
use crate::plan::Plan;
use crate::servers::{Server, Servers};
use crate::submissions::Shared;
use crate::task::ClientTask;
use mqtt_session::Text;
use mqtt_transport::BoxFuture;
use std::sync::Arc;
use tokio::runtime::Handle as Runtime;
use tokio::sync::{oneshot, watch};

impl ConnectBuilder {
    /// Starts the client and does not wait for a connection: it tries until it succeeds, or until its policy or a cause
    /// that does not pass ends it.
    ///
    /// # Errors
    ///
    /// Only what is wrong with the options, or [`ConnectError::NoRuntime`].
    pub fn start(self) -> Result<Client, ConnectError> {
        self.launch(None)
    }

    /// A client as of [`start`](Self::start), whose task its user runs: nothing happens before that.
    ///
    /// ```
    /// # async fn example(connect: impl Fn(&str) -> mqtt_client::ConnectBuilder) -> Result<(), mqtt_client::ConnectError> {
    /// let (client, task) = connect("mqtt://broker.example").prepare()?;
    /// tokio::join!(task.run(), async move {
    ///     _ = client.publish("lamp", "on").await;
    ///     _ = client.disconnect().await;
    /// });
    /// # Ok(())
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn core::error::Error>> {
    /// # let broker = mqtt_testkit::broker::Broker::start().await?;
    /// # example(|_| mqtt_client::connect(&broker.url())).await?;
    /// # assert_eq!(broker.received_count(), 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`start`](Self::start).
    pub fn prepare(self) -> Result<(Client, ClientTask), ConnectError> {
        let (client, driver) = self.assemble(None)?;
        Ok((client, ClientTask::new(driver)))
    }

    async fn connect(self) -> Result<Client, ConnectError> {
        let (first, connected) = oneshot::channel();
        let client = self.launch(Some(first))?;
        connected.await.unwrap_or(Err(ConnectError::Cancelled))?;
        Ok(client)
    }

    fn launch(
        self,
        first: Option<oneshot::Sender<Result<(), ConnectError>>>,
    ) -> Result<Client, ConnectError> {
        let (client, driver) = self.assemble(first)?;
        Runtime::try_current().map_err(|_| ConnectError::NoRuntime)?.spawn(driver.run_in_span());
        Ok(client)
    }

    fn assemble(
        self,
        first: Option<oneshot::Sender<Result<(), ConnectError>>>,
    ) -> Result<(Client, Box<Driver>), ConnectError> {
        let plan = self.plan()?;
        let session = plan.session()?;
        // The clock needs it.
        Runtime::try_current().map_err(|_| ConnectError::NoRuntime)?;
        let shared = Arc::new(Shared::new(plan.queue(), plan.durable));
        let (status, changes) = watch::channel(Status::new(Clock::tokio_now()));
        let driver = Driver::new(plan, session, shared.clone(), status, first);
        Ok((Client::new(shared, changes), Box::new(driver)))
    }

    /// Everything that can be found wrong before the server is asked is found here.
    fn plan(self) -> Result<Plan, ConnectError> {
        if let Some((option, fault)) = self.fault {
            return Err(ConnectError::InvalidOption { option, fault });
        }
        let address = Address::parse(&self.url)?;
        let others = self.other_urls.iter().map(|url| Address::parse(url)).collect::<Result<Vec<_>, _>>()?;
        self.transports.check(&address, &others, self.connector.is_some())?;
        let mut transports = self.transports;
        transports.user_timeout = self.options.patience();
        let transports = Arc::new(transports);
        let server = Server::new(address, self.connector, &transports)?;
        let others = others.into_iter().map(|address| Server::new(address, None, &transports));
        let others = others.collect::<Result<Vec<_>, _>>()?;
        let servers = Servers::new(server, others, self.server_order, self.follow_server_reference);
        servers.check()?;
        let mut options = self.options;
        if let Some(presence) = &self.presence {
            if options.will.is_some() {
                let fault = OptionFault::Conflict("a will");
                return Err(ConnectError::InvalidOption { option: "presence", fault });
            }
            options.will = Some(presence.will());
        }
        options.client_id = match self.client_id {
            Some(id) => id,
            // With a store it has to be the same in the next process: the server may assign one.
            None if self.store.is_some() => Text::default(),
            None => random_id(),
        };
        let mut plan = Plan::new(
            servers,
            self.connect_timeout,
            self.goodbye_timeout,
            self.reconnect,
            options,
            self.protocol,
        );
        plan.authenticator = self.authenticator;
        plan.response_topic = self.response_topic;
        plan.ask_credentials = self.ask_credentials;
        plan.presence = self.presence;
        plan.durable = self.store.is_some();
        plan.store = self.store;
        plan.journal = self.journal;
        Ok(plan)
    }
}

impl IntoFuture for ConnectBuilder {
    type Output = Result<Client, ConnectError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.connect())
    }
}

/// What every server must accept: up to 23 digits and letters [MQTT-3.1.3-5].
fn random_id() -> Text {
    let id: String = "mqtt".chars().chain((0..18).map(|_| fastrand::alphanumeric())).collect();
    Text::try_from(id).unwrap_or_default()
}
