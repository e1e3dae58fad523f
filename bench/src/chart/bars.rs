//! A group of bars for each row: the scale is the group's own, since each figure stands beside its bar.

use anyhow::Result;

use super::canvas::{Align, BLUE, Canvas, GREY};
use crate::results::{Better, Figure, Row, shown_ratio};

const WIDTH: i32 = 760;
const MARGIN: i32 = 12;
/// Where bars begin.
const LEFT: i32 = 150;
/// The length of the longest bar; its figure stands on its right.
const LONGEST: i32 = 470;
/// How wide a character of a heading is at most, on average.
const CHARACTER: i32 = 7;
const HEADING: i32 = 34;
const ROW_HEADING: i32 = 22;
const BAR: i32 = 18;
const GAP: i32 = 12;

pub(super) fn draw(title: &str, rows: &[&Row]) -> Result<String> {
    let rows: Vec<_> = rows.iter().filter(|row| known(row).next().is_some()).collect();
    let height: i32 = rows.iter().map(|row| ROW_HEADING + BAR * known(row).count() as i32 + GAP).sum();
    Canvas::svg((WIDTH as u32, (HEADING + height + MARGIN) as u32), title, |canvas| {
        canvas.heading(title, (MARGIN, HEADING / 2), 16.0)?;
        let mut y = HEADING;
        for row in rows {
            y = group(canvas, row, y)?;
        }
        Ok(())
    })
}

/// What was measured of a row.
fn known(row: &Row) -> impl Iterator<Item = (&Figure, f64)> {
    row.figures.iter().filter_map(|figure| Some((figure, figure.median()?)))
}

/// Draws a row from `y` on and says where the next one begins.
fn group(canvas: &Canvas<'_>, row: &Row, mut y: i32) -> Result<i32> {
    let middle = y + ROW_HEADING / 2;
    let ratio = row.ratio().zip(row.rival());
    let ratio =
        ratio.map_or_else(String::new, |(r, rival)| format!("{} times {}", shown_ratio(r), rival.who));
    canvas.text(&heading(row, &ratio), (MARGIN, middle), 13.0, GREY, Align::Left)?;
    canvas.text(&ratio, (WIDTH - MARGIN, middle), 12.0, GREY, Align::Right)?;
    y += ROW_HEADING;
    let most = known(row).map(|(_, median)| median).fold(0.0, f64::max);
    for (figure, median) in known(row) {
        let color = if figure.who == row.subject { BLUE } else { GREY };
        let length = length(median, most);
        let middle = y + BAR / 2;
        canvas.text(&figure.who, (LEFT - 8, middle), 12.0, color, Align::Right)?;
        canvas.bar((LEFT, y + 2), (LEFT + length, y + BAR - 2), color)?;
        canvas.text(&row.unit.show(median), (LEFT + length + 6, middle), 12.0, color, Align::Left)?;
        y += BAR;
    }
    Ok(y + GAP)
}

/// What a row is about, and which end is the good one where there is room for that beside the ratio.
fn heading(row: &Row, ratio: &str) -> String {
    let better = match row.better {
        Better::Higher => "higher is better",
        Better::Lower => "lower is better",
    };
    let full = format!("{} ({better})", row.measure);
    let pixels = full.chars().count() as i32 * CHARACTER + ratio.chars().count() as i32 * CHARACTER;
    if pixels > WIDTH - 4 * MARGIN { row.measure.clone() } else { full }
}

/// The length of a bar in pixels: one at least, so that it is seen where it begins.
fn length(value: f64, most: f64) -> i32 {
    if most > 0.0 { ((value / most * f64::from(LONGEST)).round() as i32).max(1) } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_heading_leaves_room_for_the_ratio() {
        let row = |measure: &str| Row::new(measure, crate::unit::Unit::Count, Better::Lower);
        assert_eq!(heading(&row("short"), "0.50 times peer"), "short (lower is better)");
        let long = "m".repeat(70);
        assert_eq!(heading(&row(&long), "1.22 [1.09, 1.25] times rathole"), long);
    }

    #[test]
    fn bars_are_as_long_as_their_figures_say() {
        assert_eq!(length(4.0, 4.0), LONGEST);
        assert_eq!(length(2.0, 4.0), LONGEST / 2);
        assert_eq!(length(0.0001, 4.0), 1);
        assert_eq!(length(0.0, 0.0), 1);
    }
}
