//! The log of a run: a line of JSON per step, and a plot of the losses.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use pellucid::{Error, Result, atomic_file};
use plotters::prelude::{
    ChartBuilder, IntoDrawingArea, LineSeries, PathElement, RGBColor, SVGBackend,
    SeriesLabelPosition, WHITE,
};
use serde::{Deserialize, Serialize};

/// A line of the log: a step, or an evaluation after it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) step: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) loss: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gradient_norm: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rate: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tokens_per_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) valid_loss: Option<f64>,
}

impl Line {
    /// An evaluation after a step.
    pub(crate) fn evaluation(step: u64, loss: f64) -> Self {
        let (gradient_norm, rate, tokens_per_s) = (None, None, None);
        Self { step, loss: None, gradient_norm, rate, tokens_per_s, valid_loss: Some(loss) }
    }
}

/// The log of a run.
#[derive(Debug)]
pub(crate) struct Record {
    path: PathBuf,
    file: File,
    lines: Vec<Line>,
}

impl Record {
    /// Opens the log of a run, and drops the steps after `step`, which will run again.
    pub(crate) fn open(run: &Path, step: u64) -> Result<Self> {
        let path = run.join("log.jsonl");
        let io = |error| Error::io(&path, error);
        let mut lines = Vec::new();
        if path.exists() && step > 0 {
            for line in BufReader::new(File::open(&path).map_err(io)?).lines() {
                // The last line may be incomplete if the program was killed.
                let Ok(line) = serde_json::from_str::<Line>(&line.map_err(io)?) else { continue };
                lines.extend((line.step <= step).then_some(line));
            }
        }
        let text: String = lines.iter().map(|line| text(line) + "\n").collect();
        atomic_file::write_own(&path, text.as_bytes()).map_err(io)?;
        let file = OpenOptions::new().append(true).open(&path).map_err(io)?;
        Ok(Self { path, file, lines })
    }

    /// Adds a line.
    pub(crate) fn add(&mut self, line: Line) -> Result<()> {
        self.lines.push(line);
        let text = text(&line) + "\n";
        self.file.write_all(text.as_bytes()).map_err(|error| Error::io(&self.path, error))
    }

    /// Plots the losses in `loss.svg`, next to the log.
    pub(crate) fn draw(&self) -> Result<()> {
        let points = |of: fn(&Line) -> Option<f64>| -> Vec<(f64, f64)> {
            let pairs = self.lines.iter().filter_map(|line| Some((line.step as f64, of(line)?)));
            pairs.collect()
        };
        let (training, validation) = (smooth(&points(|l| l.loss)), points(|l| l.valid_loss));
        let path = self.path.with_file_name("loss.svg");
        let text = plot(&training, &validation)
            .map_err(|error| Error::file(&path, format!("cannot be drawn: {error}")))?;
        atomic_file::write_own(&path, text.as_bytes()).map_err(|error| Error::io(&path, error))
    }

    /// The validation losses so far, by step.
    pub(crate) fn evaluations(&self) -> impl Iterator<Item = (u64, f64)> {
        self.lines.iter().filter_map(|line| Some((line.step, line.valid_loss?)))
    }
}

fn text(line: &Line) -> String {
    serde_json::to_string(line).unwrap_or_default()
}

/// The most points in a curve.
const POINTS: usize = 400;

/// Means of neighbouring points, so that a curve of thousands of steps is legible.
fn smooth(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let size = points.len().div_ceil(POINTS).max(1);
    let mean = |points: &[(f64, f64)]| {
        let sum = points.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
        (sum.0 / points.len() as f64, sum.1 / points.len() as f64)
    };
    points.chunks(size).map(mean).collect()
}

/// The curves as SVG.
fn plot(
    training: &[(f64, f64)],
    validation: &[(f64, f64)],
) -> Result<String, Box<dyn std::error::Error>> {
    let all = || training.iter().chain(validation).filter(|point| point.1.is_finite());
    let last = all().map(|point| point.0).fold(1.0, f64::max);
    let (low, high) = all()
        .fold((f64::MAX, f64::MIN), |(low, high), point| (low.min(point.1), high.max(point.1)));
    let (low, high) = if low > high { (0.0, 1.0) } else { (low, high) };
    let room = ((high - low) * 0.05).max(0.01);
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (900, 520)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .margin(16)
            .x_label_area_size(44)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..last, low - room..high + room)?;
        chart
            .configure_mesh()
            .x_desc("step")
            .y_desc("loss, nats a token")
            .x_label_formatter(&|step| format!("{step:.0}"))
            .y_label_formatter(&|loss| format!("{loss:.2}"))
            .max_light_lines(1)
            .bold_line_style(RGBColor(230, 230, 230))
            .draw()?;
        let curves = [
            ("training", training, RGBColor(70, 120, 200)),
            ("validation", validation, RGBColor(210, 90, 30)),
        ];
        for (name, points, color) in curves.into_iter().filter(|(_, points, _)| !points.is_empty())
        {
            let series = LineSeries::new(points.iter().copied(), &color);
            chart
                .draw_series(series)?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], color));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE)
            .border_style(RGBColor(200, 200, 200))
            .draw()?;
        area.present()?;
    }
    Ok(text)
}

/// Whether a run's folder is empty or missing.
pub(crate) fn is_empty(run: &Path) -> Result<bool> {
    match fs::read_dir(run) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(Error::io(run, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(step: u64, loss: f64) -> Line {
        let (gradient_norm, rate, tokens_per_s) = (Some(1.0), Some(1e-3), None);
        Line { step, loss: Some(loss), gradient_norm, rate, tokens_per_s, valid_loss: None }
    }

    #[test]
    fn steps_that_run_again_are_dropped_and_half_a_line_too() {
        let run = tempfile::tempdir().unwrap();
        let mut record = Record::open(run.path(), 0).unwrap();
        (1..=4).for_each(|step| record.add(line(step, 3.0)).unwrap());
        let path = run.path().join("log.jsonl");
        let half = fs::read_to_string(&path).unwrap() + "{\"step\":5,\"lo";
        fs::write(&path, half).unwrap();
        let record = Record::open(run.path(), 2).unwrap();
        assert_eq!(record.lines, [line(1, 3.0), line(2, 3.0)]);
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2);
    }

    #[test]
    fn curves_are_drawn_whatever_they_contain() {
        let points =
            |count: usize| (0..count).map(|i| (i as f64, 1.0 / (i + 1) as f64)).collect::<Vec<_>>();
        for (training, validation) in [(0, 0), (1, 0), (2000, 5)] {
            let text = plot(&smooth(&points(training)), &points(validation)).unwrap();
            assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>"));
            assert_eq!(text.contains("validation"), validation > 0);
        }
        assert!(plot(&[(1.0, f64::NAN)], &[]).is_ok());
        assert_eq!(smooth(&points(1000)).len(), 334);
    }
}
