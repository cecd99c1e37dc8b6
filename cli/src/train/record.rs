//! The log of a run: a line of JSON per step, and a plot of the losses. It holds only what the run
//! depends on, so that a resumed run has the same log; times are in a file of their own.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use pellucid::files::read_own;
use pellucid::{Error, Result, atomic_file};
use plotters::prelude::{
    ChartBuilder, IntoDrawingArea, LineSeries, PathElement, RGBColor, SVGBackend,
    SeriesLabelPosition, WHITE,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::folder::{LOG, PLOT, TIMINGS};

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
    pub(crate) valid_loss: Option<f64>,
}

/// The time that a step took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Timing {
    pub(crate) step: u64,
    pub(crate) seconds: f64,
    pub(crate) tokens_per_s: f64,
}

impl Line {
    /// An evaluation after a step.
    pub(crate) fn evaluation(step: u64, loss: f64) -> Self {
        Self { step, loss: None, gradient_norm: None, rate: None, valid_loss: Some(loss) }
    }
}

/// The log of a run.
#[derive(Debug)]
pub(crate) struct Record {
    log: Sheet,
    timings: Sheet,
    lines: Vec<Line>,
}

/// A file to which lines are added.
#[derive(Debug)]
struct Sheet {
    path: PathBuf,
    file: File,
}

impl Record {
    /// Opens the log of a run, and drops the steps after `step`, which will run again.
    pub(crate) fn open(run: &Path, step: u64) -> Result<Self> {
        let (log, lines) = Sheet::open(run.join(LOG), step, |line: &Line| line.step)?;
        let (timings, _) = Sheet::open(run.join(TIMINGS), step, |timing: &Timing| timing.step)?;
        let made = lines.iter().filter(|line| line.rate.is_some()).count() as u64;
        if made != step {
            log::warn!("{}: has only {made} of the {step} steps so far", log.path.display());
        }
        Ok(Self { log, timings, lines })
    }

    /// Adds a line.
    pub(crate) fn add(&mut self, line: Line) -> Result<()> {
        self.lines.push(line);
        self.log.add(&line)
    }

    /// Adds the time of a step.
    pub(crate) fn time(&mut self, timing: Timing) -> Result<()> {
        self.timings.add(&timing)
    }

    /// Makes sure that the log is on the disk, before a checkpoint that relies on it.
    pub(crate) fn sync(&self) -> Result<()> {
        self.log.file.sync_data().map_err(|error| Error::io(&self.log.path, error))
    }

    /// Plots the losses in `loss.svg`, next to the log.
    pub(crate) fn draw(&self) -> Result<()> {
        let points = |of: fn(&Line) -> Option<f64>| -> Vec<(f64, f64)> {
            let pairs = self.lines.iter().filter_map(|line| Some((line.step as f64, of(line)?)));
            pairs.collect()
        };
        let (training, validation) = (smooth(&points(|l| l.loss)), points(|l| l.valid_loss));
        let path = self.log.path.with_file_name(PLOT);
        let text = plot(&training, &validation)
            .map_err(|error| Error::file(&path, format!("cannot be drawn: {error}")))?;
        atomic_file::write_own(&path, text.as_bytes()).map_err(|error| Error::io(&path, error))
    }
}

impl Sheet {
    /// Opens a file of lines, and drops those of steps after `step`. The others stay as they are, to
    /// the byte.
    fn open<T: DeserializeOwned>(
        path: PathBuf,
        step: u64,
        of: impl Fn(&T) -> u64,
    ) -> Result<(Self, Vec<T>)> {
        let io = |error| Error::io(&path, error);
        let all = match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(io(error)),
            Ok(_) if step == 0 => Vec::new(),
            Ok(_) => read_own(&path)?,
        };
        let (mut kept, mut lines) = (Vec::new(), Vec::new());
        for (bytes, number) in all.split_inclusive(|byte| *byte == b'\n').zip(1..) {
            match serde_json::from_slice::<T>(bytes) {
                Ok(line) if bytes.ends_with(b"\n") => {
                    if of(&line) <= step {
                        kept.extend_from_slice(bytes);
                        lines.push(line);
                    }
                }
                // The last line may be incomplete if the program was killed.
                _ if !bytes.ends_with(b"\n") => {}
                _ => log::warn!("{}: line {number} is damaged, and is dropped", path.display()),
            }
        }
        atomic_file::write_own(&path, &kept).map_err(io)?;
        let file = OpenOptions::new().append(true).open(&path).map_err(io)?;
        Ok((Self { path, file }, lines))
    }

    fn add(&mut self, line: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string(line)
            .map_err(|error| Error::file(&self.path, error.to_string()))?;
        let written = self.file.write_all(format!("{text}\n").as_bytes());
        written.map_err(|error| Error::io(&self.path, error))
    }
}

/// The most points in a curve.
const POINTS: usize = 400;

/// Means of neighboring points, so that a curve of thousands of steps is legible.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn line(step: u64, loss: f64) -> Line {
        let (gradient_norm, rate) = (Some(1.0), Some(1e-3));
        Line { step, loss: Some(loss), gradient_norm, rate, valid_loss: None }
    }

    /// What is kept is kept to the byte, whatever its numbers.
    #[test]
    fn steps_that_run_again_are_dropped_and_half_a_line_too() {
        let run = tempfile::tempdir().unwrap();
        let mut record = Record::open(run.path(), 0).unwrap();
        let path = run.path().join(LOG);
        let mut texts = Vec::new();
        for step in 1..=4 {
            let loss = if step == 1 { 3.0 + f64::EPSILON } else { 0.1 + 0.2 };
            record.add(line(step, loss)).unwrap();
            record.add(Line::evaluation(step, if step == 1 { f64::NAN } else { 2.0 })).unwrap();
            let tokens_per_s = 7.0;
            record.time(Timing { step, seconds: 0.5, tokens_per_s }).unwrap();
            texts.push(fs::read_to_string(&path).unwrap());
        }
        assert!(texts[0].contains("\"valid_loss\":null"), "{}", texts[0]);
        fs::write(&path, format!("{}{{\"step\":5,\"lo", texts[3])).unwrap();
        let record = Record::open(run.path(), 2).unwrap();
        assert_eq!(record.lines.len(), 4);
        assert_eq!(record.lines[0].loss.unwrap().to_bits(), (3.0 + f64::EPSILON).to_bits());
        assert_eq!(fs::read_to_string(&path).unwrap(), texts[1]);
        let timings = fs::read_to_string(run.path().join(TIMINGS)).unwrap();
        assert_eq!(timings.lines().count(), 2);
        // A damaged line in the middle takes no other with it.
        fs::write(&path, texts[3].replacen("{\"step\":2", "{\"\u{fffd}", 1)).unwrap();
        assert_eq!(Record::open(run.path(), 4).unwrap().lines.len(), 7);
        // What cannot be read is not nothing.
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(Record::open(run.path(), 4), Err(Error::Io { .. })));
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
