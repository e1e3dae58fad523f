//! The results as a table.

use std::{
    fmt::{self, Write},
    time::Duration,
};

use super::ClientError;

/// The steps in their order.
pub(super) const STEPS: [&str; 5] = ["resolve", "connect", "round trip", "concurrent", "large"];

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    rows: Vec<Row>,
    failure: Option<ClientError>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What was tried.
    pub name: &'static str,
    /// How it went.
    pub state: State,
    /// The measured value.
    pub figure: String,
    /// What there is to say about it.
    pub detail: String,
}

/// How a step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// As it should.
    Good,
    /// Not as it should.
    Failed,
    /// Not tried, since an earlier step failed.
    Skipped,
}

impl Report {
    /// The steps in order.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// What failed, if something did.
    pub fn into_failure(self) -> Option<ClientError> {
        self.failure
    }

    /// The next step went as it should.
    pub(super) fn pass(&mut self, figure: String, detail: String) {
        self.push(State::Good, figure, detail);
    }

    /// The next step failed, and those after it are not tried.
    pub(super) fn fail(&mut self, error: ClientError) {
        self.push(State::Failed, String::new(), error.to_string());
        while self.rows.len() < STEPS.len() {
            self.push(State::Skipped, String::new(), String::new());
        }
        self.failure = Some(error);
    }

    fn push(&mut self, state: State, figure: String, detail: String) {
        let name = STEPS.get(self.rows.len()).copied().unwrap_or_default();
        self.rows.push(Row { name, state, figure, detail });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.rows {
            let state = match row.state {
                State::Good => "ok",
                State::Failed => "FAILED",
                State::Skipped => "skipped",
            };
            let mut line = String::new();
            write!(line, "{:<11} {state:<8} {:>12}   {}", row.name, row.figure, row.detail)?;
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// A time as people compare them.
pub(super) fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// A rate in bytes per second.
pub(super) fn per_second(bytes: usize, time: Duration) -> String {
    let rate = bytes as f64 / time.as_secs_f64().max(1e-9);
    match rate {
        1e9.. => format!("{:.1} GB/s", rate / 1e9),
        1e6.. => format!("{:.1} MB/s", rate / 1e6),
        1e3.. => format!("{:.1} kB/s", rate / 1e3),
        _ => format!("{rate:.0} B/s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::PeerError;

    #[test]
    fn the_table_shows_what_failed_and_what_was_not_tried() {
        let mut report = Report::default();
        report.pass(milliseconds(Duration::from_micros(1234)), "127.0.0.1".to_owned());
        report.fail(PeerError::Reset.into());
        assert_eq!(
            report.to_string(),
            "resolve     ok             1.2 ms   127.0.0.1\n\
             connect     FAILED                  the server reset the connection\n\
             round trip  skipped\n\
             concurrent  skipped\n\
             large       skipped\n"
        );
        assert!(report.into_failure().is_some());
    }

    #[test]
    fn rates_have_fitting_units() {
        assert_eq!(per_second(1500, Duration::from_secs(1)), "1.5 kB/s");
        assert_eq!(per_second(25_000_000, Duration::from_secs(10)), "2.5 MB/s");
        assert_eq!(per_second(10, Duration::from_secs(1)), "10 B/s");
    }
}
