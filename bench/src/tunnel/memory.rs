//! What an open stream that carries nothing costs the server.

use std::{thread, time::Duration};

use anyhow::Result;

use super::{
    Bench, Bound,
    service::{Wish, answer, visit},
    through::{TUNNELS, Through},
};

/// Each is four sockets in this process and two in each of the tunnel's.
const STREAMS: usize = 5_000;

pub(super) fn measure(bench: &mut Bench) -> Result<()> {
    let mut figures = Vec::new();
    for way in bench.ways.clone() {
        if way == Through::Nothing {
            continue;
        }
        let tunnel = bench.start(way)?;
        let before = tunnel.server_resident()?;
        let mut visitors = Vec::with_capacity(STREAMS);
        for _ in 0..STREAMS {
            let mut visitor = visit(tunnel.address, Wish::Keep)?;
            answer(&mut visitor)?;
            visitors.push(visitor);
        }
        // What was used while they came is given back or is not: a moment decides.
        thread::sleep(Duration::from_secs(1));
        figures.push((tunnel.server_resident()?.saturating_sub(before)) as f64 / STREAMS as f64);
        drop(visitors);
        bench.service.let_go();
    }
    let bytes = figures[0];
    let measure = format!("resident memory of the server per idle stream, {STREAMS} of them");
    bench.compare(&measure, &figures, |bytes| format!("{bytes:.0} B"), TUNNELS, Bound::None);
    bench.absolute("the same, absolute", format!("{bytes:.0} B"), "at most 1,024 B", bytes <= 1024.0);
    Ok(())
}
