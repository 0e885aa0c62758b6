//! One HTML file with tables and plots of several systems; it loads nothing.

use rolebench::{Comparison, Report, Table};
use serde::Serialize;
use std::fmt::Write as _;

/// The paper's three metrics, and their mean.
const METRICS: [&str; 4] = ["RAW", "CUS", "SPE", "mean"];
/// One colour a system, over again where there are more; readable on white and by the colour-blind (Okabe and Ito 2008).
const COLOURS: [&str; 7] = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#666666"];
const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;color:#222}\
table{border-collapse:collapse;margin:1rem 0;font-variant-numeric:tabular-nums}\
td,th{padding:.3rem .7rem;border-bottom:1px solid #ddd;text-align:right}\
td:first-child,th:first-child{text-align:left}caption{text-align:left;color:#555;padding:.3rem 0}\
small{color:#666}.wide{overflow-x:auto}svg{max-width:100%;height:auto}";

/// A system and what it scored.
#[derive(Clone, Debug, Serialize)]
pub struct System {
    /// Its name.
    pub name: String,
    /// Its scores.
    pub table: Table,
    /// How it compares with the first system on each metric; nothing for the first itself.
    pub against_first: Vec<(&'static str, Comparison)>,
}

impl System {
    fn part(&self, metric: &str) -> Option<&Report> {
        let table = &self.table;
        let part = match metric {
            "RAW" => &table.raw,
            "CUS" => &table.cus,
            _ => &table.spe,
        };
        part.as_ref()
    }

    /// Mean and interval of a metric.
    fn figure(&self, metric: &str) -> Option<(f64, [f64; 2])> {
        if metric == "mean" {
            return self.table.mean.zip(self.table.ci95);
        }
        self.part(metric).map(|report| (report.mean, report.ci95))
    }
}

/// The page.
///
/// # Errors
/// The figures cannot be written as JSON, which does not happen.
pub fn html(title: &str, systems: &[System]) -> Result<String, serde_json::Error> {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{0}</title>\n<style>{STYLE}</style>\n<h1>{0}</h1>\n",
        escape(title)
    );
    if let Some(first) = systems.first() {
        let (rule, references) = (first.table.rule, first.table.references);
        let _ = writeln!(
            page,
            "<p>ROUGE-L under the rule <b>{rule}</b>, of several references <b>{references}</b>. RAW: plain answers to general \
             questions. CUS: the role's own answers to them. SPE: answers about the role's life and knowledge. Intervals are \
             95 %, by 1,000 bootstrap resamples of the rows.</p>"
        );
    }
    summary(&mut page, systems);
    bars(&mut page, systems);
    comparisons(&mut page, systems);
    for metric in &METRICS[..3] {
        roles(&mut page, metric, systems);
    }
    // Data in a script element ends at the first end tag, wherever that stands.
    let data = serde_json::to_string(systems)?.replace('<', "\\u003c");
    let _ = writeln!(page, "<script type=\"application/json\" id=\"figures\">{data}</script>\n</html>");
    Ok(page)
}

fn summary(page: &mut String, systems: &[System]) {
    let heads: String = METRICS.iter().map(|metric| format!("<th>{metric}</th>")).collect();
    let _ = writeln!(
        page,
        "<h2>Scores</h2>\n<div class=\"wide\"><table>\n<tr><th>system</th>{heads}<th>rows</th><th>missing</th></tr>"
    );
    for system in systems {
        let cells: String = METRICS
            .iter()
            .map(|metric| match system.figure(metric) {
                Some((mean, [low, high])) => format!("<td>{mean:.4}<br><small>{low:.4} to {high:.4}</small></td>"),
                None => "<td>–</td>".to_string(),
            })
            .collect();
        let parts = || ["CUS", "SPE"].into_iter().filter_map(|metric| system.part(metric));
        let (rows, missing) =
            (parts().map(|part| part.rows).sum::<usize>(), parts().map(|part| part.missing).sum::<usize>());
        let _ = writeln!(page, "<tr><td>{}</td>{cells}<td>{rows}</td><td>{missing}</td></tr>", escape(&system.name));
    }
    page.push_str("</table></div>\n");
}

/// A group of bars for each metric, with whiskers over the interval.
fn bars(page: &mut String, systems: &[System]) {
    let (bar, gap, height, left) = (26.0, 36.0, 220.0, 44.0);
    let group = bar * systems.len() as f64 + gap;
    let width = left + group * METRICS.len() as f64;
    let highest = systems.iter().flat_map(|system| METRICS.iter().filter_map(|metric| system.figure(metric)));
    let top = (highest.map(|(_, [_, high])| high).fold(0.1, f64::max) * 10.0).ceil() / 10.0;
    let y = |value: f64| height * (1.0 - value / top) + 10.0;
    let _ = writeln!(
        page,
        "<svg role=\"img\" aria-label=\"Scores of the table above as bars\" viewBox=\"0 0 {width:.0} {:.0}\" width=\"{width:.0}\" \
         font-family=\"system-ui,sans-serif\" font-size=\"12\">",
        height + 40.0
    );
    for step in 0..=5 {
        let value = top * f64::from(step) / 5.0;
        let at = y(value);
        let _ = writeln!(
            page,
            "<path d=\"M{left} {at:.1}H{width:.0}\" stroke=\"#ddd\"/><text x=\"4\" y=\"{:.1}\">{value:.2}</text>",
            at + 4.0
        );
    }
    for (place, metric) in METRICS.iter().enumerate() {
        let start = left + group * place as f64 + gap / 2.0;
        for (at, system) in systems.iter().enumerate() {
            let Some((mean, [low, high])) = system.figure(metric) else { continue };
            let x = start + bar * at as f64;
            let middle = x + bar / 2.0 - 2.0;
            let _ = writeln!(
                page,
                "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{}\"><title>{} {metric} {mean:.4}</title></rect>\
                 <path d=\"M{middle:.1} {:.1}V{:.1}\" stroke=\"#222\" stroke-width=\"1.5\"/>",
                y(mean),
                bar - 4.0,
                y(0.0) - y(mean),
                colour(at),
                escape(&system.name),
                y(low),
                y(high),
            );
        }
        let middle = start + bar * systems.len() as f64 / 2.0;
        let _ =
            writeln!(page, "<text x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{metric}</text>", height + 30.0);
    }
    page.push_str("</svg>\n<p>");
    for (at, system) in systems.iter().enumerate() {
        let _ = write!(page, "<span style=\"color:{}\">■</span> {} &nbsp; ", colour(at), escape(&system.name));
    }
    page.push_str("</p>\n");
}

fn comparisons(page: &mut String, systems: &[System]) {
    let Some((first, others)) = systems.split_first().filter(|(_, others)| !others.is_empty()) else { return };
    let _ = writeln!(
        page,
        "<h2>Beside {}</h2>\n<div class=\"wide\"><table>\n<caption>Difference of the means on rows that both answered; p by 10,000 \
         random sign flips of the rows' differences.</caption>\n<tr><th>system</th><th>metric</th><th>difference</th><th>95 %</th>\
         <th>p</th><th>better</th><th>same</th><th>worse</th></tr>",
        escape(&first.name)
    );
    for system in others {
        for (metric, found) in &system.against_first {
            let [low, high] = found.ci95;
            let _ = writeln!(
                page,
                "<tr><td>{}</td><td>{metric}</td><td>{:+.4}</td><td>{low:+.4} to {high:+.4}</td><td>{:.4}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                escape(&system.name),
                found.difference,
                found.p,
                found.wins,
                found.ties,
                found.losses
            );
        }
    }
    page.push_str("</table></div>\n");
}

/// The roles' means, the darker the higher.
fn roles(page: &mut String, metric: &str, systems: &[System]) {
    let parts: Vec<Option<&Report>> = systems.iter().map(|system| system.part(metric)).collect();
    let mut names: Vec<&String> = parts.iter().flatten().flat_map(|part| part.per_role.keys()).collect();
    names.sort();
    names.dedup();
    if names.is_empty() {
        return;
    }
    let heads: String = systems.iter().map(|system| format!("<th>{}</th>", escape(&system.name))).collect();
    let _ = writeln!(page, "<h2>{metric} by role</h2>\n<div class=\"wide\"><table>\n<tr><th>role</th>{heads}</tr>");
    let mut row = |name: &str, means: Vec<Option<f64>>| {
        let cell = |mean: Option<f64>| match mean {
            Some(mean) => format!("<td style=\"background:rgb(0 114 178/{:.2})\">{mean:.4}</td>", 0.7 * mean),
            None => "<td>–</td>".to_string(),
        };
        let cells: String = means.into_iter().map(cell).collect();
        let _ = writeln!(page, "<tr><td>{}</td>{cells}</tr>", escape(name));
    };
    for name in names {
        row(
            name,
            parts.iter().map(|part| part.and_then(|part| part.per_role.get(name)).map(|part| part.mean)).collect(),
        );
    }
    let mut kinds: Vec<&'static str> = parts.iter().flatten().flat_map(|part| part.per_type.keys().copied()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    for kind in kinds {
        row(
            kind,
            parts.iter().map(|part| part.and_then(|part| part.per_type.get(kind)).map(|part| part.mean)).collect(),
        );
    }
    page.push_str("</table></div>\n");
}

fn colour(at: usize) -> &'static str {
    COLOURS[at % COLOURS.len()]
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
