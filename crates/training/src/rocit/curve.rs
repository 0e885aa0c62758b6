//! The loss curve of a run as SVG, from its metrics.

use crate::{Error, Result};
use checkpoint::write_atomically;
use serde_json::Value;
use std::fmt::Write;
use std::fs;
use std::path::Path;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 360.0;
const MARGIN: f64 = 48.0;

/// Draws the training loss and the held-out loss of `metrics` into `out`.
pub fn draw(metrics: &Path, out: &Path) -> Result<()> {
    let text = fs::read_to_string(metrics).map_err(Error::io(metrics))?;
    let (mut training, mut held_out) = (Vec::new(), Vec::new());
    for line in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let Some(step) = line["step"].as_f64() else { continue };
        if let Some(loss) = line["loss"].as_f64() {
            training.push((step, loss));
        }
        if let Some(losses) = line["held_out_loss"].as_object() {
            let losses: Vec<f64> = losses.values().filter_map(Value::as_f64).collect();
            held_out.push((step, losses.iter().sum::<f64>() / losses.len().max(1) as f64));
        }
    }
    let svg = svg(&[("training", "#4477aa", training), ("held out", "#cc3311", held_out)]);
    write_atomically(out, |to| fs::write(to, svg).map_err(Error::io(to)))
}

/// A name, a color and points of step and loss.
type Line<'a> = (&'a str, &'a str, Vec<(f64, f64)>);

fn svg(lines: &[Line<'_>]) -> String {
    let points = || lines.iter().flat_map(|(.., points)| points).copied();
    let last = points().map(|(step, _)| step).fold(1.0, f64::max);
    let top = points().map(|(_, loss)| loss).filter(|loss| loss.is_finite()).fold(0.1, f64::max) * 1.05;
    let x = |step: f64| MARGIN + step / last * (WIDTH - 2.0 * MARGIN);
    let y = |loss: f64| HEIGHT - MARGIN - loss / top * (HEIGHT - 2.0 * MARGIN);
    let (left, right, bottom) = (MARGIN, WIDTH - MARGIN, HEIGHT - MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <path d=\"M{left} {MARGIN}V{bottom}H{right}\" fill=\"none\" stroke=\"#888\"/>\n"
    );
    for part in 0..=4 {
        let share = f64::from(part) / 4.0;
        let (loss, step) = (top * share, last * share);
        let at = y(loss);
        _ = writeln!(svg, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{loss:.2}</text>", left - 6.0, at + 4.0);
        let (at, below) = (x(step), bottom + 18.0);
        _ = writeln!(svg, "<text x=\"{at:.1}\" y=\"{below}\" text-anchor=\"middle\">{step:.0}</text>");
    }
    for (number, (name, color, points)) in lines.iter().enumerate() {
        let path: Vec<String> = points
            .iter()
            .filter(|(_, loss)| loss.is_finite())
            .map(|(step, loss)| format!("{:.1},{:.1}", x(*step), y(*loss)))
            .collect();
        let at = MARGIN + 16.0 * number as f64;
        _ = writeln!(svg, "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\"/>", path.join(" "));
        _ = writeln!(svg, "<text x=\"{right}\" y=\"{at}\" text-anchor=\"end\" fill=\"{color}\">{name}</text>");
    }
    svg + "</svg>\n"
}
