//! The options of an emulated network.

use clap::Args;

use crate::{
    cli::values::{Span, rate},
    lab::network::{Network, Rate},
};

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Emulated network")]
pub(super) struct NetworkArgs {
    /// Every byte arrives so much later, in each direction
    #[arg(long, value_name = "TIME", default_value = "0s")]
    delay: Span,

    /// The delay varies by up to so much, up and down; the order stays
    #[arg(long, value_name = "TIME", default_value = "0s")]
    jitter: Span,

    /// No more than this passes, in each direction, such as 56kbit or 1mbit
    #[arg(long, value_name = "RATE", value_parser = rate)]
    rate: Option<Rate>,

    /// A connection is reset so long after it was opened, with what is on the way
    #[arg(long, value_name = "TIME")]
    drop_after: Option<Span>,
}

impl NetworkArgs {
    pub(super) fn network(&self) -> Network {
        Network {
            delay: self.delay.0,
            jitter: self.jitter.0,
            rate: self.rate,
            drop_after: self.drop_after.map(|time| time.0),
        }
    }
}
