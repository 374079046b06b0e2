// SPDX-License-Identifier: MPL-2.0
//! The diagrams of a camera.

use super::{
    axis::Axis,
    bins::Bins,
    chart::{Chart, Shape},
    series::{Clock, Names, Series, Sum},
    spread::Spread,
};

/// Bars of a distribution.
const BARS: usize = 40;

/// Latency, stages and intervals are told in this.
const MS: &str = "ms";

/// All of them, in the order in which they are shown; those with nothing to show are left out.
pub(super) fn all(series: &Series) -> Vec<Chart> {
    let over_time = OverTime::new(series);
    let mut charts = Vec::new();
    if let Some(time) = &over_time {
        charts.push(time.lines(
            "Detections a result",
            "detections",
            None,
            vec![("mean", Box::new(|sum| sum.found.mean())), ("most", Box::new(|sum| sum.found.largest()))],
        ));
        charts.push(time.lines(
            "Median time by stage",
            MS,
            None,
            vec![
                ("queue: from arrival until a worker has it", Box::new(|sum| sum.stages[0].percentile(0.5))),
                ("worker", Box::new(|sum| sum.stages[1].percentile(0.5))),
                ("publish", Box::new(|sum| sum.stages[2].percentile(0.5))),
            ],
        ));
        charts.push(time.lines(
            "Latency from capture to publication",
            MS,
            None,
            vec![
                ("p50", Box::new(|sum| sum.latency.percentile(0.5))),
                ("p90", Box::new(|sum| sum.latency.percentile(0.9))),
                ("p99", Box::new(|sum| sum.latency.percentile(0.99))),
            ],
        ));
    }
    let latency = &series.all.latency;
    charts.extend(distribution("Latency, how often", latency, latency.percentile(0.99).map(|p99| p99 * 1.25), MS));
    if let Some(time) = &over_time {
        charts
            .extend(time.stacks("Frames lost before a result, by cause", "frames", &series.all.lost, |sum| &sum.lost));
        charts.extend(time.stacks("Frames that gap records tell of", "frames", &series.all.gaps, |sum| &sum.gaps));
        charts.extend(time.stacks("Results by model", "results", &series.all.models, |sum| &sum.models));
        charts.extend(time.stacks("Results by region", "results", &series.all.regions, |sum| &sum.regions));
        charts.push(time.lines(
            "Share of the frame that was looked at",
            "%",
            Some(100.0),
            vec![("mean", Box::new(|sum| sum.coverage.mean().map(|share| share * 100.0)))],
        ));
        charts.push(time.lines(
            "Longest time since the whole frame was looked at",
            "s",
            None,
            vec![("longest", Box::new(|sum| sum.sweep.largest().map(|ms| ms / 1e3)))],
        ));
        charts.push(time.lines(
            "Time between results",
            MS,
            None,
            vec![
                ("p50", Box::new(|sum| sum.interval.percentile(0.5))),
                ("longest", Box::new(|sum| sum.interval.largest())),
            ],
        ));
    }
    charts.extend(distribution("Confidence of detections, how often", &series.all.confidence, Some(1.0), "confidence"));
    charts
}

/// What a line shows of a part of time.
type Value = Box<dyn Fn(&Sum) -> Option<f64>>;

struct OverTime<'a> {
    parts: &'a Bins<Sum>,
    axis: Axis,
}

impl<'a> OverTime<'a> {
    fn new(series: &'a Series) -> Option<Self> {
        let parts = &series.parts;
        let (from, to) = parts.span()?;
        Some(Self { parts, axis: Axis::Time { from, to, clock: series.clock.unwrap_or(Clock::Utc) } })
    }

    fn lines(&self, title: &str, unit: &'static str, top: Option<f64>, values: Vec<(&str, Value)>) -> Chart {
        let half = self.parts.length() as f64 / 2.0;
        let points = |value: &Value| self.parts.iter().map(|(time, sum)| (time as f64 + half, value(sum))).collect();
        let lines = values.iter().map(|(name, value)| ((*name).to_owned(), points(value))).collect();
        self.chart(title, unit, top, Shape::Lines(lines))
    }

    fn stacks(&self, title: &str, unit: &'static str, all: &Names, of: impl Fn(&Sum) -> &Names) -> Option<Chart> {
        let names: Vec<String> = all.iter().map(|(name, _)| name.to_owned()).collect();
        if all.total() == 0 {
            return None;
        }
        let length = self.parts.length() as f64;
        let bar = |(time, sum): (i64, &Sum)| {
            let pieces = names.iter().map(|name| of(sum).get(name) as f64).collect();
            (time as f64, time as f64 + length, pieces)
        };
        let bars = self.parts.iter().map(bar).collect();
        Some(self.chart(title, unit, None, Shape::Stacks { names, bars }))
    }

    fn chart(&self, title: &str, unit: &'static str, top: Option<f64>, shape: Shape) -> Chart {
        // A part without anything in it breaks a line.
        let reach = self.parts.length() as f64 * 1.5;
        Chart { title: title.to_owned(), unit, axis: self.axis.clone(), shape, top, reach }
    }
}

fn distribution(title: &str, spread: &Spread, end: Option<f64>, unit: &'static str) -> Option<Chart> {
    let end = end.filter(|end| *end > 0.0)?;
    if spread.total() == 0 {
        return None;
    }
    let width = end / BARS as f64;
    let counts = spread.bars(BARS, end);
    let bars = counts.iter().enumerate().map(|(n, count)| (n as f64 * width, (n + 1) as f64 * width, vec![*count]));
    let shape = Shape::Stacks { names: vec!["times".to_owned()], bars: bars.collect() };
    let axis = Axis::Value { to: end, unit };
    Some(Chart { title: title.to_owned(), unit: "times", axis, shape, top: None, reach: 0.0 })
}
