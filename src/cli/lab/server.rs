//! What the practice servers and the proxy share: where to listen, limits, the way they run.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    num::NonZeroUsize,
    sync::Arc,
    time::Duration,
};

use clap::Args;

use super::{network::NetworkArgs, sentence};
use crate::{
    cli::{
        Failure,
        log::{LogArgs, LogFormat},
        runtime,
        values::Span,
    },
    lab::{Handler, Hosted, Limits, Service, serve},
    net::{Target, bind, raise_descriptor_limit, resolve, stop_signal},
    size::ByteSize,
};

/// Connections the system holds until they are accepted.
const BACKLOG: u32 = 1024;

/// How long finding the address of a host name to listen on may take.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a practice server listens.
#[derive(Debug, Clone, Args)]
pub(super) struct Place {
    /// Address or host name to listen on [default: 127.0.0.1]; a number alone is the port
    host: Option<String>,

    /// Port to listen on; 0 takes a free one
    port: Option<u16>,
}

impl Place {
    /// The target to listen on; `port` is the mode's own.
    fn target(&self, port: u16) -> Result<Target, Failure> {
        let localhost = || Ipv4Addr::LOCALHOST.to_string();
        let target = match (&self.host, self.port) {
            (None, given) => Target::new(localhost(), given.unwrap_or(port)),
            (Some(number), None) if number.bytes().all(|b| b.is_ascii_digit()) => {
                // As a host it would be an address nobody means: systems take 99999 for 0.1.134.159.
                let port = number.parse();
                let port =
                    port.map_err(|_| Failure::usage(format!("{number} is no port; ports go to 65535.")));
                Target::new(localhost(), port?)
            }
            (Some(host), given) => Target::new(host.as_str(), given.unwrap_or(port)),
        };
        Ok(target)
    }
}

/// Limits of every server, and how it logs.
#[derive(Debug, Clone, Args)]
pub(super) struct ServerArgs {
    /// Serve one connection and end; the exit code says how it went
    #[arg(long)]
    once: bool,

    /// Connections at a time; further ones are closed at once
    #[arg(long, value_name = "N", default_value = "500", help_heading = "Limits")]
    max_connections: NonZeroUsize,

    /// How long a stopping server waits for what is under way
    #[arg(long, value_name = "TIME", default_value = "5s", help_heading = "Limits")]
    drain_timeout: Span,

    #[command(flatten)]
    log: LogArgs,
}

/// The limit on silence, which the proxy does not have: what is silent through it is not its business.
#[derive(Debug, Clone, Args)]
pub(super) struct PatienceArgs {
    /// How long a client may say nothing, or take nothing
    #[arg(long, value_name = "TIME", default_value = "5m", help_heading = "Limits")]
    idle_timeout: Span,
}

/// What every mode of `relay lab serve` has besides its own options.
#[derive(Debug, Clone, Args)]
pub(super) struct PracticeArgs {
    #[command(flatten)]
    place: Place,

    #[command(flatten)]
    patience: PatienceArgs,

    #[command(flatten)]
    server: ServerArgs,

    #[command(flatten)]
    network: NetworkArgs,
}

/// What to try against a server that answers any message.
pub(super) const TRY_TALK: &str = "try: relay lab talk {host} {port} hello";

impl PracticeArgs {
    /// Runs what `service` makes, with the log installed, until it is stopped: on `port` when none is given. `hint` says what to try
    /// against it; `{host}` and `{port}` stand there for where it listens.
    pub(super) fn run(
        &self,
        port: u16,
        hint: &str,
        service: impl FnOnce() -> Result<Box<dyn Service>, Failure>,
    ) -> Result<(), Failure> {
        let patience = self.patience.idle_timeout.0;
        if patience.is_zero() {
            return Err(Failure::usage("--idle-timeout is to be longer than nothing."));
        }
        let target = self.place.target(port)?;
        self.server.install_log();
        let handler = Arc::new(Hosted { service: service()?, network: self.network.network(), patience });
        runtime::block_on(async {
            let address = local_address(&target).await?;
            let hint = |at: SocketAddr| {
                let mut reached = at;
                match at.ip() {
                    // A server on all addresses is tried on the one that every machine has.
                    IpAddr::V4(ip) if ip.is_unspecified() => reached.set_ip(Ipv4Addr::LOCALHOST.into()),
                    IpAddr::V6(ip) if ip.is_unspecified() => reached.set_ip(Ipv6Addr::LOCALHOST.into()),
                    _ => {}
                }
                hint.replace("{host}", Target::from(reached).host()).replace("{port}", &at.port().to_string())
            };
            self.server.listen(address, &hint, handler).await
        })
    }
}

impl ServerArgs {
    pub(super) fn install_log(&self) {
        self.log.install();
    }

    /// Listens on `address` and serves until a signal.
    pub(super) async fn listen(
        &self,
        address: SocketAddr,
        hint: &dyn Fn(SocketAddr) -> String,
        handler: Arc<dyn Handler>,
    ) -> Result<(), Failure> {
        raise_descriptor_limit();
        let no_signals = |e| Failure::new(format!("cannot wait for signals: {e}."));
        let stop = stop_signal().map_err(no_signals)?;
        let hurry = async {
            match stop_signal() {
                Ok(signal) => signal.await,
                Err(_) => std::future::pending().await,
            }
        };
        let listener = bind(address, BACKLOG).map_err(sentence::listen)?;
        let address = listener.local_addr().map_err(|e| Failure::new(format!("cannot listen: {e}.")))?;
        announce(address, &hint(address), self.log.format());
        let limits =
            Limits { connections: self.max_connections.get(), drain: self.drain_timeout.0, once: self.once };
        serve(listener, handler, limits, stop, hurry).await.map_err(sentence::service)
    }
}

/// The address to listen on. Of a name that has several an IPv4 one, which is what `127.0.0.1` in a script reaches.
pub(super) async fn local_address(target: &Target) -> Result<SocketAddr, Failure> {
    let found = resolve(target, RESOLVE_TIMEOUT).await.map_err(|e| sentence::client(e.into()))?;
    let address = found.iter().find(|a| a.is_ipv4()).or(found.first());
    address.copied().ok_or_else(|| Failure::new(format!("{target} has no address.")))
}

/// The line that says where the server listens. Programs that start a server wait for it.
fn announce(address: SocketAddr, hint: &str, format: LogFormat) {
    let line = match format {
        LogFormat::Human => format!("Listening on {address}; {hint}"),
        LogFormat::Json => {
            let event =
                serde_json::json!({ "event": "listening", "address": address.to_string(), "try": hint });
            event.to_string()
        }
    };
    // Whoever closed standard output does not want to know.
    let _ = std::io::Write::write_all(&mut std::io::stdout(), format!("{line}\n").as_bytes());
}

/// A size in bytes that fits into memory and is not 0; `option` is its name.
pub(super) fn memory_size(option: &str, size: ByteSize) -> Result<usize, Failure> {
    let fits = usize::try_from(size.0).ok().filter(|bytes| (1..=MEMORY_SIZE_MAX).contains(bytes));
    fits.ok_or_else(|| Failure::usage(format!("--{option} is to be between 1 byte and 1 GiB.")))
}

/// The most that one connection may ask for in memory.
const MEMORY_SIZE_MAX: usize = 1 << 30;
