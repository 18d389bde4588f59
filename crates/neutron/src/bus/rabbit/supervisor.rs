//! Keeps a process on the bus: connects to the hosts in turn, has the role do its work, and begins
//! again when that fails.

use std::time::Duration;

use amqp::{Connection, Error, Options};
use peer::chain;
use tokio::sync::watch;
use uuid::Uuid;

use super::options::RabbitOptions;

/// How long the last words to a broker may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// What a process does on a connection.
pub(super) trait Role: Send {
    /// Does it until the connection fails, and says why, or until nobody needs it any more.
    fn work(&mut self, connection: &Connection) -> impl Future<Output = Over> + Send;

    /// The process leaves: deletes what nobody needs then.
    fn leave(&mut self, connection: &Connection) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Why the work on a connection is over.
#[derive(Debug)]
pub(super) enum Over {
    /// It failed before everything was in place.
    Refused(Error),
    /// It failed later.
    Failed(Error),
    /// Nobody needs it any more.
    Done,
}

/// Runs until it is stopped, or the role is done.
pub(super) async fn run(
    options: RabbitOptions,
    mut role: impl Role,
    mut stop: watch::Receiver<bool>,
) {
    // The broker's list says by it which process it is.
    let id = std::process::id();
    let connection_name = format!("{}:{id}:{}", options.program, Uuid::new_v4());
    let hosts = &options.url.hosts;
    let round = hosts.len().max(1);
    let mut next = if options.shuffle { usize::from(chance()) % round } else { 0 };
    // How many hosts have failed in a row.
    let mut failures = 0;
    loop {
        let Some(host) = hosts.get(next) else { return };
        let settings = Options {
            connection_name: connection_name.clone(),
            product: options.program.clone(),
            heartbeat: options.heartbeat,
            ..Options::default()
        };
        let (endpoint, login) = (options.endpoint(host), options.login(host));
        let opened = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            opened = Connection::open(&endpoint, &login, &settings) => opened,
        };
        let over = match opened {
            Err(error) => Over::Refused(error),
            Ok(connection) => {
                let over = tokio::select! {
                    biased;
                    _ = stop.wait_for(|stop| *stop) => Over::Done,
                    over = role.work(&connection) => over,
                };
                if let Over::Done = over {
                    farewell(&mut role, &connection).await;
                    return;
                }
                over
            }
        };
        match over {
            Over::Done => return,
            Over::Failed(error) => {
                failures = 0;
                tracing::warn!(broker = %endpoint, error = chain(&error), "lost the message bus");
            }
            Over::Refused(error) => {
                failures += 1;
                let error = chain(&error);
                tracing::warn!(broker = %endpoint, error, "cannot get on the message bus");
            }
        }
        next = (next + 1) % round;
        if failures % round == 0 {
            let rounds = (failures / round).saturating_sub(1);
            let rounds = u32::try_from(rounds).unwrap_or(u32::MAX);
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(options.wait(rounds, chance())) => {}
            }
        }
    }
}

/// The last words. A broker that does not hear them forgets the queues by itself, later.
async fn farewell(role: &mut impl Role, connection: &Connection) {
    let words = async {
        role.leave(connection).await?;
        connection.close().await
    };
    match tokio::time::timeout(FAREWELL, words).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(error = chain(&error), "left without a farewell"),
        Err(_) => tracing::debug!("left without a farewell: the broker does not answer"),
    }
}

fn chance() -> u8 {
    let (_, low) = Uuid::new_v4().as_u64_pair();
    low.to_be_bytes()[7]
}
