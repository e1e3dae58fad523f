//! The wish of a server to stop, known to each of its connections.

use tokio::sync::watch;

/// Makes the wish known; so does dropping it.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

/// Learns of the wish.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

/// A wish not yet made and who learns of it.
pub fn stop_channel() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), Stop(receiver))
}

impl Stopper {
    /// Asks everyone to stop.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Completes when everyone is to stop.
    pub async fn requested(&mut self) {
        // An error means that the server itself is gone.
        let _ = self.0.wait_for(|is_requested| *is_requested).await;
    }
}
