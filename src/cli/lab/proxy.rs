//! `relay lab proxy`.

use std::{net::SocketAddr, sync::Arc};

use clap::Args;

use super::{
    network::NetworkArgs,
    server::{ServerArgs, local_address},
};
use crate::{
    cli::{
        Failure, runtime,
        values::{Span, near_address},
    },
    lab::Proxy,
    net::Target,
};

/// Pass connections on through an emulated network
#[derive(Debug, Args)]
pub(crate) struct ProxyCommand {
    /// Where to listen: HOST:PORT, or a port of 127.0.0.1; 0 takes a free one
    #[arg(value_parser = near_address)]
    listen: Target,

    /// Where the connections lead: HOST:PORT
    target: Target,

    /// How long connecting to the target may take
    #[arg(long, value_name = "TIME", default_value = "5s")]
    timeout: Span,

    #[command(flatten)]
    server: ServerArgs,

    #[command(flatten)]
    network: NetworkArgs,
}

impl ProxyCommand {
    pub(crate) fn run(self) -> Result<(), Failure> {
        if self.timeout.0.is_zero() {
            return Err(Failure::usage("--timeout is to be longer than nothing."));
        }
        self.server.install_log();
        let hint = |_: SocketAddr| format!("leads to {}", self.target);
        let handler = Arc::new(Proxy {
            target: self.target.clone(),
            network: self.network.network(),
            timeout: self.timeout.0,
        });
        runtime::block_on(async {
            let address = local_address(&self.listen).await?;
            self.server.listen(address, &hint, handler).await
        })
    }
}
