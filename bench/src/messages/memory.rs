//! Many clients that do nothing, and many that come at once.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::Bench;
use crate::{
    crowd::{Dial, fresh_prefix, register},
    protocol::Protocol,
    results::{Better, Bound, Row},
    run::turns,
    unit::{Unit, grouped},
};

const CLIENTS: usize = 15_000;
const IDLE_SPAN: Duration = Duration::from_secs(2);
/// Memory hardly changes from run to run, and these runs take long.
const ROUNDS_MAX: u32 = 3;

pub(super) fn idle(bench: &mut Bench<'_>) -> Result<()> {
    let clients = bench.run.operations(CLIENTS);
    let present = bench.present(&[Protocol::Nats, Protocol::Mqtt]);
    let figures = turns(
        &mut present.clone(),
        bench.run.rounds_up_to(ROUNDS_MAX),
        |p| super::label(*p),
        |p, _| {
            // A server of its own each time: one that had these clients before has their memory still.
            let server = bench.start(*p)?;
            let before = server.resident()?;
            let held = register(*p, Dial { to: server.address, from_own: false }, &fresh_prefix(), clients)?;
            // What was used while they registered is given back or is not: a moment decides.
            thread::sleep(Duration::from_secs(1));
            let per_client = server.resident()?.saturating_sub(before) as f64 / clients as f64;
            let cpu = server.cpu()?;
            thread::sleep(IDLE_SPAN);
            let share = (server.cpu()? - cpu) as f64 / IDLE_SPAN.as_nanos() as f64 * 100.0;
            drop(held);
            Ok([per_client, share])
        },
    )?;
    let taken = super::Taken { present, figures };
    let shown = grouped(clients as f64);
    let memory =
        Row::new(format!("resident memory per idle client, {shown} of them"), Unit::Bytes, Better::Lower)
            .against(&["NATS", "Mosquitto"])
            .bound(Bound::AtMost(1536.0));
    bench.add(bench.fill(memory, &taken, 0));
    let cpu = Row::new(format!("CPU while {shown} clients are idle"), Unit::Percent, Better::Lower)
        .bound(Bound::AtMost(0.5));
    bench.add(bench.fill(cpu, &taken, 1));
    Ok(())
}

pub(super) fn storm(bench: &mut Bench<'_>) -> Result<()> {
    let clients = bench.run.operations(CLIENTS);
    let rounds = bench.run.rounds_up_to(ROUNDS_MAX);
    let taken = bench.in_turn(&[Protocol::Nats], rounds, |server, _| {
        let start = Instant::now();
        let held = register(
            server.protocol,
            Dial { to: server.address, from_own: false },
            &fresh_prefix(),
            clients,
        )?;
        let seconds = start.elapsed().as_secs_f64();
        drop(held);
        // The server has to notice that they are gone before the next storm.
        thread::sleep(Duration::from_secs(1));
        Ok([seconds])
    })?;
    let measure = format!("{} clients connect and register at once", grouped(clients as f64));
    let row = Row::new(measure, Unit::Time, Better::Lower).against(&["NATS"]).bound(Bound::AtMost(5.0));
    bench.add(bench.fill(row, &taken, 0));
    Ok(())
}
