//! Two machines and a cable, made of network namespaces, for what loopback cannot show: a peer that vanishes without a word.

use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr},
    os::fd::AsFd,
    process::Command,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{
    Process, Relay, Service, Socket, announced, command, is_linux_process, is_native, linux::is_root, not_run,
};

/// The address of the machine at the near end, where the relay is to run.
const NEAR: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);

/// The address of the machine at the far end.
const FAR: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);

/// The two namespaces; removed with everything in them when dropped.
pub struct Machines {
    near: String,
    far: String,
}

impl Machines {
    /// Sets them up, or says why that is not possible here.
    pub fn new() -> Option<Self> {
        let has_ip = Command::new("ip").arg("-V").output().is_ok_and(|output| output.status.success());
        if !(is_linux_process() && is_root() && has_ip) {
            not_run("needs processes of this Linux, root and `ip`");
            return None;
        }
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("relay-test-{}-{}", std::process::id(), NUMBER.fetch_add(1, Relaxed));
        let machines = Self { near: format!("{prefix}-near"), far: format!("{prefix}-far") };
        let (near, far) = (&machines.near, &machines.far);
        let made = Command::new("ip").args(["netns", "add", near]).output().unwrap();
        if !made.status.success() {
            not_run(&format!("no network namespaces here: {}", String::from_utf8_lossy(&made.stderr).trim()));
            return None;
        }
        ip(&format!("netns add {far}"));
        ip(&format!("-n {near} link add cable type veth peer name cable netns {far}"));
        for (name, address) in [(near, NEAR), (far, FAR)] {
            ip(&format!("-n {name} address add {address}/24 dev cable"));
            ip(&format!("-n {name} link set lo up"));
            ip(&format!("-n {name} link set cable up"));
        }
        Some(machines)
    }

    /// The same for programs that have to know what the other end's system has acknowledged.
    pub fn with_answers() -> Option<Self> {
        if is_linux_process() && !is_native() {
            not_run(
                "the emulator hands over only the first four bytes of what the system knows of a connection",
            );
            return None;
        }
        Self::new()
    }

    /// A relay on the near machine.
    pub fn relay(&self, options: &[&str]) -> Relay {
        let listen = format!("{NEAR}:0");
        let relay = command(["serve", "--listen", &listen].iter().chain(options));
        Relay::from_process(Process::spawn(inside(&self.near, &relay)), announced)
    }

    /// A program on the far machine.
    pub fn spawn_far(&self, command: &Command) -> Process {
        Process::spawn(inside(&self.far, command))
    }

    /// A program on the near machine.
    pub fn spawn_near(&self, command: &Command) -> Process {
        Process::spawn(inside(&self.near, command))
    }

    /// A service on the near machine, for the programs there.
    pub fn service_near(&self) -> Service {
        within(&self.near, Service::start)
    }

    /// A service on the far machine, for the programs there.
    pub fn service_far(&self) -> Service {
        within(&self.far, Service::start)
    }

    /// A connection from the near machine.
    pub fn connect_near(&self, address: SocketAddr) -> Socket {
        within(&self.near, move || Socket::connect(address))
    }

    /// A connection from the far machine.
    pub fn connect_far(&self, address: SocketAddr) -> Socket {
        within(&self.far, move || Socket::connect(address))
    }

    /// A socket of the near machine.
    pub fn within_near<T: Send + 'static>(&self, make: impl FnOnce() -> T + Send + 'static) -> T {
        within(&self.near, make)
    }

    /// The cable is whole again.
    pub fn mend_the_cable(&self) {
        ip(&format!("-n {} link set cable up", self.far));
    }

    /// From now on the far machine has so many local ports for connections that it makes; whether that can be had.
    pub fn keep_local_ports_far(&self, count: u16) -> bool {
        let range = format!("40000 {}", 40_000 + count - 1);
        let kept = within(&self.far, move || {
            std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", range).is_ok()
        });
        if !kept {
            not_run("this system does not let its range of local ports be changed");
        }
        kept
    }

    /// From now on the far machine is gone: it neither answers nor resets anything.
    pub fn cut_the_cable(&self) {
        ip(&format!("-n {} link set cable down", self.far));
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        for name in [&self.near, &self.far] {
            let _ = Command::new("ip").args(["netns", "delete", name]).output();
        }
    }
}

/// The command, to be run in a namespace.
fn inside(namespace: &str, command: &Command) -> Command {
    let mut wrapped = Command::new("ip");
    wrapped.args(["netns", "exec", namespace]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    wrapped
}

fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A socket belongs for good to the namespace it was made in, so a thread that goes there and ends is enough.
fn within<T: Send + 'static>(namespace: &str, make: impl FnOnce() -> T + Send + 'static) -> T {
    let path = format!("/run/netns/{namespace}");
    let made = std::thread::spawn(move || {
        let namespace = File::open(path).unwrap();
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        make()
    });
    made.join().unwrap()
}
