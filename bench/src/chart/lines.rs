//! A line for each row: what it costs beside others, as a multiple of what it costs beside none.

use anyhow::Result;

use super::canvas::{Align, Canvas, FAINT, GREY, LINES};
use crate::{
    results::{Better, Row},
    stats::{Ratio, paired_ratio},
};

const WIDTH: i32 = 760;
const MARGIN: i32 = 12;
const HEADING: i32 = 34;
const LEGEND: i32 = 20;
const LEFT: i32 = 60;
const RIGHT: i32 = 40;
const PLOT: i32 = 240;
const AXIS: i32 = 44;

/// A row as points: how many others, and the multiple.
type Points = Vec<(f64, Ratio)>;

pub(super) fn draw(title: &str, rows: &[&Row]) -> Result<String> {
    let lines: Vec<_> = rows.iter().map(|row| (*row, points(row))).filter(|(_, p)| p.len() > 1).collect();
    let legend = LEGEND * lines.len() as i32;
    let bottom = HEADING + legend + MARGIN + PLOT;
    let highest =
        lines.iter().flat_map(|(_, points)| points).map(|(_, ratio)| ratio.median).fold(1.0, f64::max);
    let most = (highest * 1.2).max(1.25);
    // An interval may be longer than the chart is high.
    let y = |value: f64| bottom - (value.min(most) / most * f64::from(PLOT)).round() as i32;
    Canvas::svg((WIDTH as u32, (bottom + AXIS) as u32), title, |canvas| {
        canvas.heading(title, (MARGIN, HEADING / 2), 16.0)?;
        axes(canvas, y, most, bottom, &lines)?;
        for (number, ((row, points), color)) in lines.iter().zip(LINES.iter().cycle()).enumerate() {
            let at = HEADING + LEGEND * number as i32 + LEGEND / 2;
            canvas.line(vec![(MARGIN, at), (MARGIN + 24, at)], *color, 1.0, 3)?;
            let inverse = if row.better == Better::Higher { " (its inverse)" } else { "" };
            let name = format!("{}{inverse}", row.measure);
            canvas.text(&name, (MARGIN + 32, at), 12.0, GREY, Align::Left)?;
            let pixels: Vec<_> = points.iter().map(|(others, r)| (x(*others), y(r.median))).collect();
            canvas.line(pixels.clone(), *color, 1.0, 2)?;
            for ((others, ratio), at) in points.iter().zip(pixels) {
                canvas.line(vec![(x(*others), y(ratio.low)), (x(*others), y(ratio.high))], *color, 0.6, 1)?;
                canvas.dot(at, *color)?;
            }
        }
        Ok(())
    })
}

fn axes(
    canvas: &Canvas<'_>,
    y: impl Fn(f64) -> i32,
    most: f64,
    bottom: i32,
    lines: &[(&Row, Points)],
) -> Result<()> {
    let step = step(most);
    let mut value = 0.0;
    while value <= most {
        canvas.line(vec![(LEFT, y(value)), (WIDTH - RIGHT, y(value))], GREY, FAINT, 1)?;
        canvas.text(&format!("{value:.2}"), (LEFT - 8, y(value)), 12.0, GREY, Align::Right)?;
        value += step;
    }
    let mut marked: Vec<f64> = Vec::new();
    for (others, _) in lines.iter().flat_map(|(_, points)| points) {
        // Those that differ by little have one mark.
        if marked.iter().all(|other| (x(*other) - x(*others)).abs() > 40) {
            marked.push(*others);
            let label = if *others == 0.0 { "none".to_owned() } else { crate::unit::grouped(*others) };
            canvas.text(&label, (x(*others), bottom + 14), 12.0, GREY, Align::Center)?;
        }
    }
    let caption = "idle names or streams beside";
    canvas.text(caption, ((LEFT + WIDTH - RIGHT) / 2, bottom + 32), 12.0, GREY, Align::Center)
}

/// Between the lines of the axis: a number that people count by, for no more than ten lines.
fn step(most: f64) -> f64 {
    let power = 10_f64.powf((most / 10.0).log10().floor());
    let fits = |step: &f64| most / step <= 10.0;
    [1.0, 2.0, 2.5, 5.0].map(|digit| digit * power).into_iter().find(fits).unwrap_or(10.0 * power)
}

/// Powers of ten are as far from each other as 1,000 is from none.
fn x(others: f64) -> i32 {
    const FARTHEST: f64 = 2.4;
    let place = if others < 100.0 { 0.0 } else { others.log10() - 2.0 };
    LEFT + 20 + (place / FARTHEST * f64::from(WIDTH - RIGHT - LEFT - 40)).round() as i32
}

/// What a row costs beside others by what it costs beside none.
fn points(row: &Row) -> Points {
    let Some(none) = row.figures.first() else { return Vec::new() };
    let point = |figure: &crate::results::Figure| {
        let others = if figure.who == "none" { 0.0 } else { figure.who.replace(',', "").parse().ok()? };
        let ratio = match row.better {
            Better::Lower => paired_ratio(&figure.values, &none.values),
            // A rate is the inverse of a cost.
            Better::Higher => paired_ratio(&none.values, &figure.values),
        };
        Some((others, ratio?))
    };
    row.figures.iter().filter_map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::Unit;

    #[test]
    fn a_rate_that_falls_and_a_time_that_grows_both_go_up() {
        let row = |better, values: &[f64]| {
            Row::new("m", Unit::Rate, better).figure("none", &[1.0]).figure("1,000", values)
        };
        let cost = |row: &Row| points(row).iter().map(|(others, r)| (*others, r.median)).collect::<Vec<_>>();
        assert_eq!(cost(&row(Better::Lower, &[2.0])), [(0.0, 1.0), (1000.0, 2.0)]);
        assert_eq!(cost(&row(Better::Higher, &[0.5])), [(0.0, 1.0), (1000.0, 2.0)]);
        assert_eq!(cost(&row(Better::Lower, &[])), [(0.0, 1.0)]);
    }

    #[test]
    fn the_axis_has_ten_lines_at_most() {
        for (most, expected) in [(1.25, 0.2), (2.0, 0.2), (2.2, 0.25), (4.0, 0.5), (9.0, 1.0), (31.0, 5.0)] {
            assert!((step(most) - expected).abs() < 1e-9, "{most}: {}", step(most));
        }
    }

    #[test]
    fn more_others_are_farther_right_and_all_are_on_the_chart() {
        let places = [0.0, 1e3, 9.7e3, 1e4, 2e4].map(x);
        assert!(places.is_sorted() && places[0] >= LEFT && places[4] <= WIDTH - RIGHT, "{places:?}");
    }
}
