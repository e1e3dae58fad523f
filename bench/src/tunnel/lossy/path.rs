//! Three machines in a row and the cables between them: the visitor's, the relay's, the service's. The one in the middle forwards.

use std::{fs, net::Ipv4Addr, time::Duration};

use anyhow::{Context, Result, ensure};

use super::{forwarder::Forwarder, namespace::Namespace, tun, wire::Cable};
use crate::tunnel::site::Machine;

const VISITOR: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
const RELAY: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);
const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 3);

/// What an Ethernet packet carries.
const PACKET_BYTES: u64 = 1500;

/// What waits for the line at most, as in a home router.
const QUEUE: Duration = Duration::from_millis(100);

/// What lies between visitor and service, in all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Distance<'a> {
    /// There and back.
    pub(super) round_trip: Duration,
    /// The share of packets that is lost in each direction, 0 to 1.
    pub(super) loss: f64,
    pub(super) bytes_per_second: u64,
    /// The congestion control of all machines, by its name in Linux.
    pub(super) congestion: &'a str,
}

impl Distance<'_> {
    /// One of the two cables.
    fn half(&self) -> Cable {
        let delay = self.round_trip / 4;
        let bytes = self.bytes_per_second as f64 * (delay + QUEUE).as_secs_f64();
        // What both let through is what is left of the whole.
        let loss = 1.0 - (1.0 - self.loss).sqrt();
        let packets_max = (bytes / PACKET_BYTES as f64) as usize;
        Cable { delay, loss, bytes_per_second: self.bytes_per_second, packets_max }
    }
}

/// How the cables are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Emulation {
    /// By the kernel.
    Netem,
    /// By a thread of this program.
    Forwarder,
}

/// The machines and cables; gone when dropped.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) visitor: Machine,
    pub(super) relay: Machine,
    pub(super) service: Machine,
    pub(super) emulation: Emulation,
    _forwarders: Vec<Forwarder>,
}

impl Path {
    /// Sets them up.
    ///
    /// # Errors
    /// That is not possible here.
    pub(super) fn new(distance: Distance<'_>) -> Result<Self> {
        ensure!(rustix::process::geteuid().is_root(), "network namespaces need root");
        let machines = [Namespace::new()?, Namespace::new()?, Namespace::new()?];
        let [visitor, relay, service] = &machines;
        for machine in &machines {
            machine.command("ip link set lo up")?;
            set(machine, "tcp_congestion_control", distance.congestion)?;
            // No connection learns from those before it.
            set(machine, "tcp_no_metrics_save", "1")?;
        }
        set(relay, "ip_forward", "1")?;
        let has_netem = visitor.command("tc qdisc add dev lo root netem").is_ok();
        if has_netem {
            visitor.command("tc qdisc delete dev lo root")?;
        }
        let mut forwarders = Vec::new();
        for (seed, (near, far)) in [
            ((visitor, VISITOR, "relay"), (relay, RELAY, "visitor")),
            ((relay, RELAY, "service"), (service, SERVICE, "relay")),
        ]
        .into_iter()
        .enumerate()
        {
            let (ends, cable) = ([near, far], distance.half());
            if has_netem {
                netem(ends, cable)?;
            } else {
                let devices = [near.0.run(|| tun::make(near.2))?, far.0.run(|| tun::make(far.2))?];
                forwarders.push(Forwarder::start(devices, cable, 2 * seed as u64)?);
            }
            for ((machine, address, device), (_, peer, _)) in [(near, far), (far, near)] {
                machine.command(&format!("ip address add {address} peer {peer} dev {device}"))?;
                machine.command(&format!("ip link set dev {device} up"))?;
            }
        }
        for end in [visitor, service] {
            end.command(&format!("ip route add default via {RELAY}"))?;
        }
        let emulation = if has_netem { Emulation::Netem } else { Emulation::Forwarder };
        let [visitor, relay, service] = machines;
        Ok(Self {
            visitor: Machine::there(VISITOR, visitor),
            relay: Machine::there(RELAY, relay),
            service: Machine::there(SERVICE, service),
            emulation,
            _forwarders: forwarders,
        })
    }
}

/// A cable of the kernel's, between devices of these names.
fn netem(ends: [(&Namespace, Ipv4Addr, &str); 2], cable: Cable) -> Result<()> {
    let [near, far] = ends;
    near.0.command(&format!(
        "ip link add dev {} type veth peer name {} netns {}",
        near.2,
        far.2,
        far.0.path()
    ))?;
    for (machine, _, device) in ends {
        // One packet in the queue is one on the line: none that the far end would take apart.
        machine.command(&format!("ip link set dev {device} gso_max_segs 1"))?;
        machine.command(&format!(
            "tc qdisc add dev {device} root netem delay {}us loss {:.4}% rate {}bit limit {}",
            cable.delay.as_micros(),
            cable.loss * 100.0,
            cable.bytes_per_second * 8,
            cable.packets_max,
        ))?;
    }
    Ok(())
}

fn set(machine: &Namespace, name: &str, value: &str) -> Result<()> {
    let file = format!("/proc/sys/net/ipv4/{name}");
    machine.run(|| fs::write(&file, value).with_context(|| format!("cannot set {file} to {value}")))
}

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, TcpStream},
        time::Instant,
    };

    use super::*;

    #[test]
    fn a_connection_takes_the_round_trip_and_goes_through_the_machine_between() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("not run: network namespaces need root");
            return;
        }
        let round_trip = Duration::from_millis(80);
        let distance = Distance { round_trip, loss: 0.0, bytes_per_second: 1_000_000, congestion: "reno" };
        let path = Path::new(distance).unwrap();
        let listen = || Ok(TcpListener::bind((path.service.address, 0))?);
        let listener = path.service.run(listen).unwrap();
        let address = listener.local_addr().unwrap();
        let connect = || {
            let start = Instant::now();
            let stream = TcpStream::connect_timeout(&address, Duration::from_secs(10))?;
            Ok((start.elapsed(), stream.local_addr()?.ip()))
        };
        let (took, from) = path.visitor.run(connect).unwrap();
        assert_eq!(from, VISITOR);
        assert!(took >= round_trip, "{took:?}");
        // From the middle it is half the way.
        assert!(path.relay.run(connect).unwrap().0 >= round_trip / 2);
    }
}
