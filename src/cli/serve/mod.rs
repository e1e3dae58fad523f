//! `relay serve`: runs the relay.

mod file;
#[cfg(unix)]
mod reload;
mod settings;

use std::{
    io::{Write, stdout},
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    num::{NonZeroU32, NonZeroUsize},
    ops::RangeInclusive,
    path::PathBuf,
    time::Duration,
};

use clap::{Args, ValueEnum};

use self::settings::Settings;
use super::{
    Failure,
    log::{LogArgs, LogFormat},
    result,
    runtime::{self, aside},
    values::{Span, listen_address, port_range},
};
use crate::{
    net::{Keepalive, stop_signal},
    relay::{AddressRange, Config, Delivery, Limits, Policy, PublicPorts, Relay},
    size::ByteSize,
};

/// Run the relay
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// TOML file with any of these options under the same names, tokens and rules; SIGHUP reads it again
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Only check the options and the file, and print what would be used
    #[arg(long)]
    check: bool,

    /// Where to listen: an address and a port, or a port alone; may be repeated, port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "0.0.0.0:8080", value_parser = listen_address)]
    listen: Vec<SocketAddr>,

    /// Ports of this machine that services may be reached on, such as 9000-9099; none unless named here
    #[arg(long, value_name = "LO-HI", value_parser = port_range)]
    public_ports: Option<RangeInclusive<u16>>,

    /// What version 1 clients receive: the payload alone, or SENDER|LENGTH|PAYLOAD
    #[arg(long, value_enum, default_value = "raw")]
    delivery: DeliveryArg,

    /// File with the token that version 2 clients have to prove [env: RELAY_TOKEN, the token itself]
    #[arg(long, value_name = "FILE", help_heading = "Access")]
    token_file: Option<PathBuf>,

    /// Let version 1 clients in without a token
    #[arg(long, help_heading = "Access")]
    allow_v1: bool,

    /// Addresses to take connections from, such as 10.0.0.0/8; may be repeated [default: all]
    #[arg(long, value_name = "RANGE", help_heading = "Access")]
    allow: Vec<AddressRange>,

    /// Addresses to take none from, even if allowed; may be repeated
    #[arg(long, value_name = "RANGE", help_heading = "Access")]
    deny: Vec<AddressRange>,

    /// Connections at the same time [default: as many as the system has room for]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    max_connections: Option<NonZeroU32>,

    /// Connections from one address, or one /64 network of IPv6 [default: no limit]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    max_connections_per_address: Option<NonZeroU32>,

    /// New connections from one address each second; as many may come at once [default: no limit]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    new_connections_per_second: Option<NonZeroU32>,

    /// Streams of one service at the same time, and visitors that wait for one [default: no limit]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    max_streams_per_service: Option<NonZeroU32>,

    /// How long a new connection may take to register
    #[arg(long, value_name = "TIME", default_value = "3s", help_heading = "Deadlines")]
    register_timeout: Span,

    /// How long a client may be silent
    #[arg(long, value_name = "TIME", default_value = "30s", help_heading = "Deadlines")]
    idle_timeout: Span,

    /// How long a client with a full queue may read nothing
    #[arg(long, value_name = "TIME", default_value = "10s", help_heading = "Deadlines")]
    write_timeout: Span,

    /// How long a visitor waits until the service answers
    #[arg(long, value_name = "TIME", default_value = "10s", help_heading = "Deadlines")]
    open_timeout: Span,

    /// How long a stopping relay waits for its queues to empty
    #[arg(long, value_name = "TIME", default_value = "5s", help_heading = "Deadlines")]
    drain_timeout: Span,

    /// Silence after which the system asks whether a client still exists; 0s: never
    #[arg(long, value_name = "TIME", default_value = "5s", help_heading = "Deadlines")]
    keepalive: Span,

    /// Time between those questions
    #[arg(long, value_name = "TIME", default_value = "3s", help_heading = "Deadlines")]
    keepalive_interval: Span,

    /// Unanswered questions after which the client is gone
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u32).range(1..=100),
        help_heading = "Deadlines")]
    keepalive_probes: u32,

    /// How long a client's system may leave sent data unacknowledged (Linux); 0s: the relay's system decides
    #[arg(long, value_name = "TIME", default_value = "14s", help_heading = "Deadlines")]
    user_timeout: Span,

    /// Bytes that may wait for one client before its senders are paused
    #[arg(long, value_name = "SIZE", default_value = "1MiB", help_heading = "Limits")]
    queue: ByteSize,

    /// Bytes that may wait for all clients together beyond that; one client's queue takes up to three times its --queue of them, and messages over 64 KiB take them while they arrive
    #[arg(long, value_name = "SIZE", default_value = "16MiB", help_heading = "Limits")]
    queue_extra: ByteSize,

    /// Largest message of version 2 and of framed delivery
    #[arg(long, value_name = "SIZE", default_value = "1MiB", help_heading = "Limits")]
    max_message: ByteSize,

    /// Raw messages above this size are passed on in pieces
    #[arg(long, value_name = "SIZE", default_value = "64KiB", help_heading = "Limits")]
    stream_above: ByteSize,

    /// Bytes per second a sender must keep while others wait for its recipient
    #[arg(long, value_name = "SIZE", default_value = "1KiB", help_heading = "Limits")]
    min_rate: ByteSize,

    /// How long the others wait before a sender must keep that rate
    #[arg(long, value_name = "TIME", default_value = "10s", help_heading = "Limits")]
    min_rate_grace: Span,

    /// Connections the system holds until they are accepted (it has a limit of its own)
    #[arg(long, value_name = "N", default_value = "65535", help_heading = "Tuning")]
    backlog: u32,

    /// Bytes that are read and routed at once, for each worker
    #[arg(long, value_name = "SIZE", default_value = "512KiB", help_heading = "Tuning")]
    read_buffer: ByteSize,

    /// How long a worker looks for more before it sleeps, after a short message or a short exchange of a stream; 0s: not at all
    #[arg(long, value_name = "TIME", default_value = "50us", help_heading = "Tuning")]
    spin: Span,

    /// Worker threads, and on Linux as many for streams once there are any [default: one for each processor]
    #[arg(long, value_name = "N", help_heading = "Tuning")]
    workers: Option<NonZeroUsize>,

    #[command(flatten)]
    log: LogArgs,
}

/// The largest `--max-message`: what clients take in one frame.
const MESSAGE_BYTES_MOST: u64 = 1 << 30;

/// The largest `--read-buffer`, which each worker has: more would be memory that no batch fills.
const READ_BYTES_MOST: usize = 1 << 30;

/// The most `--workers`: more threads than the largest machines have processors only wait for each other.
const WORKERS_MOST: usize = 1024;

/// A number that would exhaust the machine is a mistake.
fn at_most(option: &str, number: usize, most: usize) -> Result<usize, Failure> {
    let is_possible = number <= most;
    is_possible.then_some(number).ok_or_else(|| Failure::usage(format!("{option} is to be at most {most}.")))
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DeliveryArg {
    Raw,
    Framed,
}

impl Serve {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let settings = aside(|| Settings::read(self.config.as_deref()))?;
        let serve = &settings.serve;
        let config = serve.settled()?;
        let policy = settings.policy()?;
        if serve.check {
            return result::print(settings.show(&policy).as_bytes());
        }
        serve.log.install();
        Settings::warn_of_short_tokens(&policy);
        // A relay has a descriptor for each client; the usual soft limit of 1,024 is meant for other programs.
        crate::net::raise_descriptor_limit();
        let (workers, format) = (serve.workers, serve.log.format());
        runtime::block_on_workers(workers, async move {
            let stop = stop_signal().map_err(|e| Failure::new(format!("cannot wait for signals: {e}.")))?;
            let wants_token = policy.wants_token();
            let relay = Relay::bind(config, policy).map_err(|error| Failure::new(error.to_string()))?;
            let addresses =
                relay.local_addresses().map_err(|e| Failure::new(format!("cannot listen: {e}.")))?;
            // A relay without a file has nothing to read again, and ends with its terminal.
            #[cfg(unix)]
            if settings.serve.config.is_some() || settings.serve.token_file.is_some() {
                tokio::spawn(crate::task::task(reload::at_hangup(settings, relay.control())?));
            }
            for address in addresses {
                announce(address, format, wants_token);
            }
            relay.run(stop).await;
            Ok(())
        })
    }

    /// Puts what the options say about access and limits into the policy.
    fn limit(&self, policy: &mut Policy) {
        policy.allow_v1 = self.allow_v1;
        policy.allow = self.allow.clone();
        policy.deny = self.deny.clone();
        policy.limits = Limits {
            connections_max: self.max_connections,
            connections_per_address_max: self.max_connections_per_address,
            new_connections_per_second_max: self.new_connections_per_second,
            streams_per_service_max: self.max_streams_per_service,
        };
    }

    /// Messages are kept whole, here and by clients, and no client takes a larger one.
    fn message_bytes_max(&self) -> Result<u64, Failure> {
        match self.max_message.0 {
            bytes @ ..=MESSAGE_BYTES_MOST => Ok(bytes),
            _ => Err(Failure::usage(format!(
                "--max-message is to be at most {MESSAGE_BYTES_MOST} bytes; larger data goes as a transfer or through a tunnel."
            ))),
        }
    }

    fn settled(&self) -> Result<Config, Failure> {
        let at_least = |name: &str, size: ByteSize, least: u64| {
            let bytes = usize::try_from(size.0).ok().filter(|bytes| *bytes as u64 >= least);
            bytes.ok_or_else(|| Failure::usage(format!("--{name} is to be at least {least} bytes.")))
        };
        at_most("--workers", self.workers.map_or(1, NonZeroUsize::get), WORKERS_MOST)?;
        let positive = |name: &str, time: Span| match time.0 {
            Duration::ZERO => Err(Failure::usage(format!("--{name} is to be longer than nothing."))),
            time => Ok(time),
        };
        let keepalive = (!self.keepalive.0.is_zero()).then_some(Keepalive {
            idle: self.keepalive.0,
            interval: self.keepalive_interval.0,
            probes: self.keepalive_probes,
        });
        Ok(Config {
            listen: self.listen.clone(),
            delivery: match self.delivery {
                DeliveryArg::Raw => Delivery::Raw,
                DeliveryArg::Framed => Delivery::Framed,
            },
            register_timeout: positive("register-timeout", self.register_timeout)?,
            idle_timeout: positive("idle-timeout", self.idle_timeout)?,
            write_timeout: positive("write-timeout", self.write_timeout)?,
            queue_bytes: at_least("queue", self.queue, 1)?,
            queue_extra_bytes: at_least("queue-extra", self.queue_extra, 0)?,
            message_bytes_max: self.message_bytes_max()?,
            stream_bytes_min: self.stream_above.0,
            rate_bytes_min: self.min_rate.0,
            rate_grace: positive("min-rate-grace", self.min_rate_grace)?,
            drain_timeout: self.drain_timeout.0,
            backlog: self.backlog,
            // A header and something behind it.
            read_bytes: at_least("read-buffer", self.read_buffer, 8 << 10)
                .and_then(|bytes| at_most("--read-buffer", bytes, READ_BYTES_MOST))?,
            spin: self.spin.0,
            open_timeout: positive("open-timeout", self.open_timeout)?,
            public_ports: self.public_ports.clone().map(|range| PublicPorts {
                address: self.listen.first().map_or(Ipv4Addr::UNSPECIFIED.into(), SocketAddr::ip),
                range,
            }),
            keepalive,
            user_timeout: (!self.user_timeout.0.is_zero()).then_some(self.user_timeout.0),
        })
    }
}

/// The line that says where the relay listens and how to reach it. Programs that start a relay wait for it.
fn announce(address: SocketAddr, format: LogFormat, wants_token: bool) {
    let host = reachable_as(address.ip());
    // Version 1 cannot prove a token.
    let version = if wants_token { " --v2" } else { "" };
    let hint = format!("relay connect {host} {} NAME{version}", address.port());
    let line = match format {
        LogFormat::Human => format!("Listening on {address}; others reach it with: {hint}"),
        LogFormat::Json => {
            serde_json::json!({ "event": "listening", "address": address.to_string(), "reach": hint })
                .to_string()
        }
    };
    // Whoever closed standard output does not want to know.
    let _ = stdout().write_all(format!("{line}\n").as_bytes());
}

/// An address that other machines can use: of `0.0.0.0`, the one this machine has on the network that leads outside.
fn reachable_as(address: IpAddr) -> String {
    if !address.is_unspecified() {
        return address.to_string();
    }
    // Connecting a UDP socket sends nothing; it only chooses a route. The address is reserved for documentation (RFC 5737).
    let outward = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).and_then(|()| socket.local_addr())
    });
    outward.map_or_else(|_| "HOST".to_owned(), |address| address.ip().to_string())
}
