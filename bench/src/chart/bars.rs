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
    let better = match row.better {
        Better::Higher => "higher is better",
        Better::Lower => "lower is better",
    };
    let middle = y + ROW_HEADING / 2;
    canvas.text(&format!("{} ({better})", row.measure), (MARGIN, middle), 13.0, GREY, Align::Left)?;
    if let (Some(ratio), Some(rival)) = (row.ratio(), row.rival()) {
        let text = format!("{} times {}", shown_ratio(ratio), rival.who);
        canvas.text(&text, (WIDTH - MARGIN, middle), 12.0, GREY, Align::Right)?;
    }
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

/// The length of a bar in pixels: one at least, so that it is seen where it begins.
fn length(value: f64, most: f64) -> i32 {
    if most > 0.0 { ((value / most * f64::from(LONGEST)).round() as i32).max(1) } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_their_figures_say() {
        assert_eq!(length(4.0, 4.0), LONGEST);
        assert_eq!(length(2.0, 4.0), LONGEST / 2);
        assert_eq!(length(0.0001, 4.0), 1);
        assert_eq!(length(0.0, 0.0), 1);
    }
}
