// SPDX-License-Identifier: MPL-2.0
//! Diagrams as SVG within the page; colours and letters are the page's.

use std::fmt::Write;

use super::{
    axis::{self, Axis},
    html::escaped,
};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 190.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 36.0;
/// Colours that the page has.
const COLOURS: usize = 8;

/// A name, and points: time and value.
pub(super) type Line = (String, Vec<(f64, Option<f64>)>);

/// What is drawn.
pub(super) enum Shape {
    /// A line a name through its points; a point without a value, or a missing part, breaks it.
    Lines(Vec<Line>),
    /// Bars, from where to where, of one piece a name.
    Stacks { names: Vec<String>, bars: Vec<(f64, f64, Vec<f64>)> },
}

/// A diagram.
pub(super) struct Chart {
    pub(super) title: String,
    /// Of the vertical axis.
    pub(super) unit: &'static str,
    pub(super) axis: Axis,
    pub(super) shape: Shape,
    /// Upper end of the vertical axis; none = by the values.
    pub(super) top: Option<f64>,
    /// The longest distance between two points of one line.
    pub(super) reach: f64,
}

impl Chart {
    /// As a figure of the page, with a legend unless it has but one line.
    pub(super) fn html(&self) -> String {
        let top = self.top.unwrap_or_else(|| self.largest());
        let top = if top.is_normal() && top > 0.0 { top } else { 1.0 };
        let mut svg = format!(
            "<figure><figcaption>{}</figcaption>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n",
            escaped(&self.title),
            escaped(&self.title)
        );
        self.grid(top, &mut svg);
        match &self.shape {
            Shape::Lines(lines) => {
                for (n, (name, points)) in lines.iter().enumerate() {
                    self.line(n, name, points, top, &mut svg);
                }
            }
            Shape::Stacks { names, bars } => {
                for (from, to, pieces) in bars {
                    self.stack(names, (*from, *to), pieces, top, &mut svg);
                }
            }
        }
        svg.push_str("</svg>\n");
        let names: Vec<&str> = match &self.shape {
            Shape::Lines(lines) => lines.iter().map(|(name, _)| name.as_str()).collect(),
            Shape::Stacks { names, .. } => names.iter().map(String::as_str).collect(),
        };
        // How often something was is told by the title.
        if names.len() > 1 || (matches!(self.shape, Shape::Stacks { .. }) && names != [self.unit]) {
            svg.push_str("<p class=\"legend\">");
            for (n, name) in names.iter().enumerate() {
                let _ = write!(svg, "<span><i class=\"c{}\"></i>{}</span> ", n % COLOURS, escaped(name));
            }
            svg.push_str("</p>");
        }
        svg.push_str("</figure>\n");
        svg
    }

    fn largest(&self) -> f64 {
        match &self.shape {
            Shape::Lines(lines) => {
                lines.iter().flat_map(|(_, points)| points).filter_map(|(_, y)| *y).fold(0.0, f64::max)
            }
            Shape::Stacks { bars, .. } => bars.iter().map(|(_, _, pieces)| pieces.iter().sum()).fold(0.0, f64::max),
        }
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + self.axis.place(value).clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    }

    fn grid(&self, top: f64, svg: &mut String) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for (value, text) in axis::steps(top) {
            let y = y(value, top);
            let _ = writeln!(
                svg,
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/><text class=\"left\" x=\"{}\" y=\"{:.1}\">{text}</text>",
                LEFT - 5.0,
                y + 4.0
            );
        }
        for (place, text) in self.axis.marks() {
            let x = LEFT + place * (right - LEFT);
            let _ = writeln!(
                svg,
                "<path class=\"grid\" d=\"M{x:.1} {bottom}v4\"/><text x=\"{x:.1}\" y=\"{}\">{text}</text>",
                bottom + 16.0
            );
        }
        let _ = writeln!(
            svg,
            "<text class=\"unit\" x=\"{:.1}\" y=\"{}\">{}</text><text class=\"unit\" transform=\"translate(11 {:.1}) rotate(-90)\">{}</text>",
            (LEFT + right) / 2.0,
            HEIGHT - 5.0,
            escaped(&self.axis.title()),
            (TOP + bottom) / 2.0,
            escaped(self.unit)
        );
    }

    fn line(&self, n: usize, name: &str, points: &[(f64, Option<f64>)], top: f64, svg: &mut String) {
        let mut path = String::new();
        let mut last: Option<f64> = None;
        let mut dots = String::new();
        for (at, (time, value)) in points.iter().enumerate() {
            let Some(value) = value else {
                last = None;
                continue;
            };
            let (x, y) = (self.x(*time), y(*value, top));
            let goes_on = |from: f64, to: f64| to - from <= self.reach;
            let joined = last.is_some_and(|before| goes_on(before, *time));
            let _ = write!(path, "{}{x:.1} {y:.1}", if joined { 'L' } else { 'M' });
            // A point with no neighbour would be no line.
            let next = points.get(at + 1).is_some_and(|(next, value)| value.is_some() && goes_on(*time, *next));
            if !joined && !next {
                let _ = write!(dots, "<circle class=\"dot c{}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2\"/>", n % COLOURS);
            }
            last = Some(*time);
        }
        let _ = writeln!(
            svg,
            "<path class=\"line c{}\" d=\"{path}\"><title>{}</title></path>{dots}",
            n % COLOURS,
            escaped(name)
        );
    }

    fn stack(&self, names: &[String], (from, to): (f64, f64), pieces: &[f64], top: f64, svg: &mut String) {
        let (left, right) = (self.x(from), self.x(to));
        let mut below = 0.0;
        for (n, (name, piece)) in names.iter().zip(pieces).enumerate().filter(|(_, (_, piece))| **piece > 0.0) {
            let (low, high) = (y(below, top), y(below + piece, top));
            let _ = writeln!(
                svg,
                "<rect class=\"c{}\" x=\"{left:.1}\" y=\"{high:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{}: {}</title></rect>",
                n % COLOURS,
                (right - left - 0.5).max(0.8),
                low - high,
                escaped(name),
                axis::number(*piece)
            );
            below += piece;
        }
    }
}

fn y(value: f64, top: f64) -> f64 {
    let bottom = HEIGHT - BOTTOM;
    bottom - (value / top).clamp(0.0, 1.0) * (bottom - TOP)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(shape: Shape, top: Option<f64>) -> Chart {
        let axis = Axis::Value { to: 10.0, unit: "ms" };
        Chart { title: "<b>".into(), unit: "frames", axis, shape, top, reach: 1.0 }
    }

    #[test]
    fn a_line_breaks_where_something_is_missing() {
        let points = vec![(0.0, Some(1.0)), (1.0, Some(2.0)), (3.0, Some(2.0)), (4.0, None), (5.0, Some(0.0))];
        let html = chart(Shape::Lines(vec![("a".into(), points)]), None).html();
        let path = html.split("class=\"line c0\" d=\"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!((path.matches('M').count(), path.matches('L').count()), (3, 1), "{path}");
        assert_eq!(html.matches("<circle").count(), 2);
        assert!(!html.contains("legend") && html.contains("&lt;b&gt;") && !html.contains("<b>"));
    }

    #[test]
    fn pieces_of_a_bar_stand_on_each_other() {
        let names = vec!["x".to_owned(), "\"><script>".to_owned()];
        let html = chart(Shape::Stacks { names, bars: vec![(0.0, 5.0, vec![1.0, 3.0])] }, None).html();
        let heights: Vec<f64> =
            html.split("height=\"").skip(1).map(|rest| rest.split('"').next().unwrap().parse().unwrap()).collect();
        assert!((heights[1] / heights[0] - 3.0).abs() < 0.02, "{heights:?}");
        assert!(!html.contains("<script>") && html.contains("legend"));
    }

    #[test]
    fn nothing_and_nonsense_are_drawn_as_nothing() {
        for value in [f64::NAN, f64::INFINITY, -1.0] {
            let html = chart(Shape::Lines(vec![("a".into(), vec![(0.0, Some(value))])]), None).html();
            assert!(!html.contains("inf"), "{html}");
        }
        assert!(chart(Shape::Stacks { names: vec![], bars: vec![] }, Some(0.0)).html().contains("<svg"));
    }
}
