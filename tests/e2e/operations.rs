//! What an operator sees: announcements, options, stopping, errors.

use predicates::prelude::*;

use crate::harness::relay;

#[test]
fn help_fits_on_a_screen() {
    let lines = predicate::function(|text: &str| text.lines().count() <= 40);
    relay(["--help"]).assert().success().stdout(lines);
}
