//! What charts are drawn on: a plotters area of pixels without a background.

use anyhow::{Result, anyhow};
use plotters::{
    coord::Shift,
    prelude::{Circle, DrawingArea, IntoDrawingArea, PathElement, RGBColor, Rectangle, SVGBackend, Text},
    style::{
        Color, FontStyle, IntoFont, TextStyle,
        text_anchor::{HPos, Pos, VPos},
    },
};

/// Text and lines: a contrast of 4 and more with white and with black.
pub(super) const GREY: RGBColor = RGBColor(0x76, 0x7d, 0x86);
/// Lines that are to be seen no more than needed.
pub(super) const FAINT: f64 = 0.35;
/// The relay.
pub(super) const BLUE: RGBColor = RGBColor(0x2f, 0x81, 0xf7);
/// Lines in one chart.
pub(super) const LINES: [RGBColor; 5] = [
    BLUE,
    RGBColor(0xc9, 0x73, 0x1f),
    RGBColor(0x2d, 0xa4, 0x4e),
    RGBColor(0x89, 0x57, 0xe5),
    RGBColor(0xe5, 0x53, 0x4b),
];

/// plotters gives fonts as much more room than SVG.
const FONT_SCALE: f64 = 1.24;

/// Where text begins.
#[derive(Debug, Clone, Copy)]
pub(super) enum Align {
    Left,
    Right,
    Center,
}

/// An area to draw on.
pub(super) struct Canvas<'a>(DrawingArea<SVGBackend<'a>, Shift>);

impl Canvas<'_> {
    /// What `draw` draws on so many pixels, as SVG with a title.
    ///
    /// # Errors
    /// It cannot be drawn.
    pub(super) fn svg(
        size: (u32, u32),
        title: &str,
        draw: impl FnOnce(&Canvas<'_>) -> Result<()>,
    ) -> Result<String> {
        let mut text = String::new();
        {
            let canvas = Canvas(SVGBackend::with_string(&mut text, size).into_drawing_area());
            draw(&canvas)?;
            canvas.0.present().map_err(|error| anyhow!("cannot draw: {error}"))?;
        }
        // For those who hear the page instead of seeing it.
        Ok(text.replacen(">\n", &format!(" role=\"img\">\n<title>{title}</title>\n"), 1))
    }

    pub(super) fn text(
        &self,
        text: &str,
        at: (i32, i32),
        pixels: f64,
        color: RGBColor,
        align: Align,
    ) -> Result<()> {
        self.styled(text, at, pixels, color, align, FontStyle::Normal)
    }

    pub(super) fn heading(&self, text: &str, at: (i32, i32), pixels: f64) -> Result<()> {
        self.styled(text, at, pixels, GREY, Align::Left, FontStyle::Bold)
    }

    fn styled(
        &self,
        text: &str,
        at: (i32, i32),
        pixels: f64,
        color: RGBColor,
        align: Align,
        style: FontStyle,
    ) -> Result<()> {
        let horizontal = match align {
            Align::Left => HPos::Left,
            Align::Right => HPos::Right,
            Align::Center => HPos::Center,
        };
        let font = ("sans-serif", pixels * FONT_SCALE).into_font().style(style);
        let style = TextStyle::from(font).color(&color).pos(Pos::new(horizontal, VPos::Center));
        self.0.draw(&Text::new(text.to_owned(), at, style)).map_err(|error| anyhow!("cannot draw: {error}"))
    }

    pub(super) fn bar(&self, from: (i32, i32), to: (i32, i32), color: RGBColor) -> Result<()> {
        let bar = Rectangle::new([from, to], color.filled());
        self.0.draw(&bar).map_err(|error| anyhow!("cannot draw: {error}"))
    }

    pub(super) fn line(
        &self,
        points: Vec<(i32, i32)>,
        color: RGBColor,
        opacity: f64,
        width: u32,
    ) -> Result<()> {
        let line = PathElement::new(points, color.mix(opacity).stroke_width(width));
        self.0.draw(&line).map_err(|error| anyhow!("cannot draw: {error}"))
    }

    pub(super) fn dot(&self, at: (i32, i32), color: RGBColor) -> Result<()> {
        self.0.draw(&Circle::new(at, 4, color.filled())).map_err(|error| anyhow!("cannot draw: {error}"))
    }
}
