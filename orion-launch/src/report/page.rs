// SPDX-License-Identifier: MPL-2.0
//! The page.

use std::fmt::Write;

use super::{
    axis::{self, full, number},
    charts,
    gather::Gathered,
    html::escaped,
    series::{Clock, Names, Series},
    spread::Spread,
};

/// What says in a page's first lines that it is one of ours.
pub(super) const MARK: &str = "<meta name=\"generator\" content=\"orion-launch report\">";

/// The page of what was gathered from a file of that name.
pub(super) fn html(name: &str, all: &Gathered) -> String {
    let title = escaped(name);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">{MARK}\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}: results</title>\n\
         <style>\n{}</style></head>\n<body><header><h1>{title}</h1>\n",
        include_str!("page.css")
    );
    let _ = writeln!(
        page,
        "<p>{} lines: {} results, {} gap records, {} other messages, {} broken.</p></header>",
        all.lines, all.results, all.gaps, all.others, all.broken
    );
    if all.beyond > 0 {
        let _ = writeln!(
            page,
            "<p class=\"warn\">{} lines are of further cameras or kinds, which are not shown.</p>",
            all.beyond
        );
    }
    if !all.named.is_empty() {
        let lines: Vec<_> = all.named.iter().map(|(n, why)| format!("line {n}: {}", escaped(why))).collect();
        let more = all.broken - all.named.len() as u64;
        let more = if more > 0 { format!("<li>and {more} more</li>") } else { String::new() };
        let _ = writeln!(
            page,
            "<details><summary>Broken lines</summary><ul><li>{}</li>{more}</ul></details>",
            lines.join("</li><li>")
        );
    }
    overview(all, &mut page);
    for ((instance, kind), series) in &all.series {
        let _ = writeln!(page, "<section><h2>{} <small>{}</small></h2>", escaped(instance), escaped(kind));
        facts(series, &mut page);
        times(series, &mut page);
        page.push_str("<div class=\"charts\">\n");
        charts::all(series).iter().for_each(|chart| page.push_str(&chart.html()));
        page.push_str("</div></section>\n");
    }
    page.push_str("</body></html>\n");
    page
}

fn overview(all: &Gathered, page: &mut String) {
    page.push_str(
        "<table><thead><tr><th>camera</th><th>results of</th><th>from</th><th>to</th><th>results</th><th>with detections</th>\
         <th>at most</th><th>lost</th><th>latency p50, ms</th><th>p99, ms</th></tr></thead><tbody>\n",
    );
    for ((instance, kind), series) in &all.series {
        let sum = &series.all;
        let (from, to) = ends(series);
        let percent = sum.with as f64 * 100.0 / (series.results().max(1)) as f64;
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{from}</td><td>{to}</td><td>{}</td><td>{} ({percent:.0} %)</td><td>{}</td><td>{}</td>\
             <td>{}</td><td>{}</td></tr>",
            escaped(instance),
            escaped(kind),
            series.results(),
            sum.with,
            told(sum.found.largest()),
            sum.lost.total(),
            told(sum.latency.percentile(0.5)),
            told(sum.latency.percentile(0.99)),
        );
    }
    let sum = |of: fn(&Series) -> u64| all.series.values().map(of).fold(0_u64, u64::saturating_add);
    let _ = writeln!(
        page,
        "</tbody><tfoot><tr><td colspan=\"4\">all</td><td>{}</td><td>{}</td><td></td><td>{}</td><td></td><td></td></tr></tfoot></table>",
        sum(Series::results),
        sum(|series| series.all.with),
        sum(|series| series.all.lost.total())
    );
}

fn ends(series: &Series) -> (String, String) {
    let (Some((from, to)), Some(clock)) = (series.parts.span(), series.clock) else {
        return ("-".to_owned(), "-".to_owned());
    };
    let zone = if clock == Clock::Utc { " UTC" } else { "" };
    (format!("{}{zone}", full(from, clock)), format!("{}{zone}", full(to, clock)))
}

fn facts(series: &Series, page: &mut String) {
    let sum = &series.all;
    page.push_str("<dl>");
    let mut fact = |name: &str, value: String| {
        let _ = write!(page, "<div><dt>{name}</dt><dd>{value}</dd></div>");
    };
    fact("detections", named(&sum.labels));
    fact("models", named(&sum.models));
    fact("regions", named(&sum.regions));
    fact("lost before a result", named(&sum.lost));
    fact("told by gap records", named(&sum.gaps));
    fact("came late", sum.replayed.to_string());
    fact("numbers began anew", series.restarts.to_string());
    fact("without a time", series.undated.to_string());
    let whole = series.parts.length();
    fact(
        "each point is",
        if whole < 1000 { format!("{whole} ms") } else { format!("{} h:min:s", axis::span(whole, false)) },
    );
    page.push_str("</dl>\n");
}

fn named(names: &Names) -> String {
    let all: Vec<_> = names.iter().map(|(name, count)| format!("{} {count}", escaped(name))).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

fn times(series: &Series, page: &mut String) {
    let sum = &series.all;
    page.push_str("<table><thead><tr><th>ms</th><th>mean</th><th>p50</th><th>p90</th><th>p99</th><th>largest</th></tr></thead><tbody>\n");
    let rows: [(&str, &Spread); 8] = [
        ("latency, capture to publication", &sum.latency),
        ("stage queue", &sum.stages[0]),
        ("stage worker", &sum.stages[1]),
        ("stage publish", &sum.stages[2]),
        ("worker: preparation", &sum.timing[0]),
        ("worker: model", &sum.timing[1]),
        ("worker: rest", &sum.timing[2]),
        ("between results", &sum.interval),
    ];
    for (name, spread) in rows {
        let p = |share| told(spread.percentile(share));
        let (mean, largest) = (told(spread.mean()), told(spread.largest()));
        let _ = writeln!(
            page,
            "<tr><td>{name}</td><td>{mean}</td><td>{}</td><td>{}</td><td>{}</td><td>{largest}</td></tr>",
            p(0.5),
            p(0.9),
            p(0.99)
        );
    }
    page.push_str("</tbody></table>\n");
}

fn told(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_the_file_is_no_markup() {
        let evil = "<script>alert(1)</script>";
        let line = serde_json::json!({
            "type": evil, "instance_id": format!("\"{evil}"), "frame_seq": 1, "position_ms": 5, "latency_ms": 7.5,
            "data": {
                "detections": [{"label": evil, "confidence": 0.5}],
                "metadata": {"model_selected": evil, "roi_processing": {"source": evil}},
            },
            "lost_since_last": {(evil): 3},
        });
        let text = format!("{line}\n{evil}\n{{\"type\":\"{evil}\",\"data\":{{\"detections\":\"{evil}\"}}}}\n");
        let page = html(evil, &Gathered::read(text.as_bytes()).unwrap());
        assert!(!page.contains("<script") && page.matches("&lt;script&gt;").count() >= 8, "{page}");
        assert!(page.contains("3 lines: 1 results, 0 gap records, 0 other messages, 2 broken"));
        assert!(page[..200].contains(MARK));
    }
}
